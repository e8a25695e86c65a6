//! Keeps the parts of a process running: one that panics or ends by itself is named in the log and started again
//! after a pause. It must never stop a part by itself: each watches the stop token.

use std::any::Any;
use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use control::CancellationToken;
use tokio::time::Instant;

/// The shortest and the longest pause before a part is started again.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A part that has run for so long starts without a history.
const STEADY: Duration = Duration::from_secs(600);

/// Runs a part until `stop`. `start` makes it anew each time.
pub async fn keep<F, Fut>(stop: CancellationToken, name: &'static str, start: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    supervise(&stop, name, start, |end| match end {
        Ok(()) => Some("it has ended by itself".to_owned()),
        Err(why) => Some(why),
    })
    .await;
}

/// Runs a part until it has done its work, or until `stop`.
pub async fn finish<F, Fut>(stop: CancellationToken, name: &'static str, start: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    supervise(&stop, name, start, std::result::Result::err).await;
}

/// `wrong` says what is wrong with how the part ended, if anything.
async fn supervise<F, Fut>(
    stop: &CancellationToken,
    name: &'static str,
    mut start: F,
    wrong: impl Fn(Result<(), String>) -> Option<String>,
) where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    let mut pause = PAUSE.0;
    loop {
        let began = Instant::now();
        let end = end_of(start()).await;
        if stop.is_cancelled() {
            // Nobody waits for what it says, but a panic is worth a line even now.
            end.err().into_iter().for_each(|why| tracing::warn!("{name} broke off while stopping: {why}"));
            return;
        }
        let Some(why) = wrong(end) else { return };
        if began.elapsed() >= STEADY {
            pause = PAUSE.0;
        }
        tracing::error!("{name} broke off: {why}; it is started again in {} s", pause.as_secs());
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// Runs work as a task of its own; why it failed, a panic included.
async fn end_of(work: impl Future<Output = Result<()>> + Send + 'static) -> Result<(), String> {
    match tokio::spawn(work).await {
        Ok(result) => result.map_err(|e| format!("{e:#}")),
        Err(e) => Err(broken_off(e)),
    }
}

/// What a task that did not come to its end says about it.
#[must_use]
pub fn broken_off(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => format!("panic: {}", message(panic.as_ref())),
        Err(e) => e.to_string(),
    }
}

fn message(panic: &(dyn Any + Send)) -> &dyn Display {
    if let Some(text) = panic.downcast_ref::<&'static str>() {
        return text;
    }
    panic.downcast_ref::<String>().map_or(&"without a message", |text| text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use anyhow::bail;

    use super::*;

    /// A part that fails in another way at each start, and runs on at the fifth.
    fn part(starts: &AtomicU32, stop: &CancellationToken) -> impl Future<Output = Result<()>> + Send + use<> {
        let (start, stop) = (starts.fetch_add(1, Ordering::Relaxed), stop.clone());
        async move {
            match start {
                0 => panic!("a mistake"),
                1 => panic!("a mistake with a number: {start}"),
                2 => bail!("an error"),
                3 => Ok(()),
                _ => {
                    stop.cancelled().await;
                    Ok(())
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_breaks_off_is_started_again_until_the_end() {
        let stop = CancellationToken::new();
        let starts = Arc::new(AtomicU32::new(0));
        let (counter, inner) = (starts.clone(), stop.clone());
        let kept = tokio::spawn(keep(stop.clone(), "part", move || part(&counter, &inner)));
        let began = Instant::now();
        while starts.load(Ordering::Relaxed) < 5 {
            assert!(began.elapsed() < Duration::from_secs(60), "it must have been started again by now");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(began.elapsed() >= Duration::from_secs(1 + 2 + 4 + 8), "the pauses grow");
        assert!(!kept.is_finished());
        stop.cancel();
        kept.await.unwrap();
        assert_eq!(starts.load(Ordering::Relaxed), 5, "not again at the end");
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_done_is_not_begun_again() {
        let stop = CancellationToken::new();
        let starts = AtomicU32::new(0);
        finish(stop.clone(), "part", || part(&starts, &stop)).await;
        assert_eq!(starts.load(Ordering::Relaxed), 4, "two panics, an error, and the work");
    }
}
