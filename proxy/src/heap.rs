//! Gives memory back after a rush: the C library keeps what a burst of output or many sessions took, for every thread apart.

use std::convert::Infallible;
use std::time::Duration;

/// How often the size is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Growth since the last time that is worth the effort, in bytes.
const WORTH: u64 = 8 << 20;

/// Until dropped: by its type nothing that goes wrong here, such as a process without a free descriptor, ends whoever waits beside it.
pub(crate) async fn keep_small() -> Infallible {
    keep_small_each(LOOK).await
}

async fn keep_small_each(look: Duration) -> Infallible {
    let mut level = resident().await.unwrap_or(0);
    let mut before = level;
    loop {
        tokio::time::sleep(look).await;
        let Some(now) = resident().await else { continue };
        // While it still grows what was freed is about to be used again.
        if now >= level + WORTH && now <= before + WORTH {
            let _ = tokio::task::spawn_blocking(sys::trim_heap).await;
            level = resident().await.unwrap_or(now);
        }
        // A smaller level is the one to grow from.
        level = level.min(now);
        before = now;
    }
}

/// Bytes of memory that this process has in use, proc_pid_statm(5); nothing where there is no such file.
async fn resident() -> Option<u64> {
    let text = tokio::fs::read_to_string("/proc/self/statm").await.ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages.saturating_mul(rustix::param::page_size() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_rush_took_is_given_back() {
        let look = Duration::from_millis(20);
        let kept = tokio::spawn(keep_small_each(look));
        tokio::time::sleep(2 * look).await;
        let held: Vec<Vec<u8>> = (0..64 * 1024).map(|n| vec![n as u8; 1024]).collect();
        // What stays on top keeps the C library from giving anything back by itself.
        let top = vec![1_u8; 1024];
        let full = resident().await.expect("statm");
        drop(held);
        let mut now = full;
        for _ in 0..200 {
            tokio::time::sleep(look).await;
            now = now.min(resident().await.expect("statm"));
            if now + (32 << 20) < full {
                break;
            }
        }
        kept.abort();
        assert!(now + (32 << 20) < full, "{now} of {full} bytes are still in use");
        assert_eq!(top.len(), 1024);
    }
}
