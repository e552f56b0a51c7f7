//! A stream that fails after a while unless somebody has signed in on it by then. The deadline is in the stream because whoever
//! reads it may be a task of a library that nobody else can end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Said once by whoever knows that somebody has signed in.
#[derive(Debug, Clone, Default)]
pub(crate) struct SignedIn(Arc<AtomicBool>);

impl SignedIn {
    /// From here on the stream lasts as long as it may.
    pub(crate) fn say(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The stream.
#[derive(Debug)]
pub(crate) struct Patience<T> {
    inner: T,
    signed_in: SignedIn,
    /// None once somebody has signed in.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<T> Patience<T> {
    /// Must be made inside a runtime.
    pub(crate) fn new(inner: T, longest: Duration, signed_in: SignedIn) -> Self {
        Self { inner, signed_in, deadline: Some(Box::pin(sleep(longest))) }
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(deadline) = self.deadline.as_mut() else { return Ok(()) };
        if self.signed_in.0.load(Ordering::Acquire) {
            self.deadline = None;
            return Ok(());
        }
        // Polled even where the stream is ready, so that a peer who always has a byte more is cut off too.
        match deadline.as_mut().poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::TimedOut, "nobody signed in in time")),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patience<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patience<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const LONGEST: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn reads_and_writes_fail_when_nobody_signs_in() {
        let (near, _far) = tokio::io::duplex(1);
        let mut near = Patience::new(near, LONGEST, SignedIn::default());
        assert_eq!(near.read_u8().await.expect_err("cut").kind(), io::ErrorKind::TimedOut);
        assert_eq!(near.write_all(b"more than fits").await.expect_err("cut").kind(), io::ErrorKind::TimedOut);
        assert_eq!(near.shutdown().await.expect_err("cut").kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_read_that_waits_across_the_deadline_goes_on_for_who_signed_in() {
        let (near, mut far) = tokio::io::duplex(64);
        let signed_in = SignedIn::default();
        let mut near = Patience::new(near, LONGEST, signed_in.clone());
        let reading = tokio::spawn(async move { near.read_u8().await });
        tokio::task::yield_now().await;
        signed_in.say();
        tokio::time::sleep(LONGEST * 2).await;
        far.write_u8(7).await.expect("written");
        assert_eq!(reading.await.expect("task").expect("read"), 7);
    }
}
