//! A way to Keycloak that can be cut and mended: a provider that is down, and is up again with all that it knew.

use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A port that leads to another. What goes through it is closed when it is cut; new connections are closed at once.
pub(super) struct Wire {
    /// Without a slash at the end.
    pub(super) url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    cut: bool,
    open: Vec<TcpStream>,
    asked: usize,
    spent: Duration,
}

impl Wire {
    /// To `http://HOST:PORT`.
    pub(super) fn to(url: &str) -> Self {
        let target = url.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (near, shared, target) = (near.unwrap(), shared.clone(), target.clone());
                std::thread::spawn(move || carry(&near, &target, &shared));
            }
        });
        Self { url: format!("http://127.0.0.1:{port}"), state }
    }

    /// How many connections were asked for.
    pub(super) fn asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }

    /// How long connections were open that are closed: Naru opens one for each question.
    pub(super) fn spent(&self) -> Duration {
        self.state.lock().unwrap().spent
    }

    pub(super) fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.cut = true;
        for stream in state.open.drain(..) {
            // It may have been closed by its ends.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(super) fn mend(&self) {
        self.state.lock().unwrap().cut = false;
    }
}

/// Serves one connection; whichever end closes, it is over.
fn carry(near: &TcpStream, target: &str, state: &Mutex<State>) -> Option<()> {
    let begun = Instant::now();
    let far = TcpStream::connect(target).ok()?;
    let (near_read, far_write) = (near.try_clone().ok()?, far.try_clone().ok()?);
    {
        let mut state = state.lock().unwrap();
        state.asked += 1;
        if state.cut {
            return None;
        }
        state.open.extend([near.try_clone().ok()?, far.try_clone().ok()?]);
    }
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut &near_read, &mut &far_write);
        let _ = far_write.shutdown(Shutdown::Both);
    });
    let _ = std::io::copy(&mut &far, &mut &*near);
    state.lock().unwrap().spent += begun.elapsed();
    let _ = near.shutdown(Shutdown::Both);
    Some(())
}
