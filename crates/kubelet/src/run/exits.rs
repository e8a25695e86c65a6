//! Notices a container's end at once, by its process, where the runtime sends no events: one thread waits on
//! all processes' file descriptors.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{Timespec, epoll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::sync::Notify;

use control::CancellationToken;

/// The runtime learns of an exit a moment after the kernel does.
const LOOKS: [Duration; 4] = [
    Duration::from_millis(3),
    Duration::from_millis(20),
    Duration::from_millis(60),
    Duration::from_millis(200),
];
/// How long the thread may outlive the order to stop, in seconds.
const STOP_LOOK_SECONDS: i64 = 1;

/// The processes whose end is waited for.
pub(crate) struct Exits {
    epoll: OwnedFd,
    held: Mutex<BTreeMap<i32, OwnedFd>>,
    ended: Notify,
}

impl Exits {
    /// None yet.
    pub fn new() -> std::io::Result<Arc<Self>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Arc::new(Exits { epoll, held: Mutex::default(), ended: Notify::new() }))
    }

    /// Waits for this process too. Quietly does nothing where it cannot be seen (a runtime in another process
    /// namespace).
    pub fn watch(&self, pid: i32) {
        let mut held = self.held.lock();
        if held.contains_key(&pid) {
            return;
        }
        let Some(fd) = Pid::from_raw(pid).and_then(|p| pidfd_open(p, PidfdFlags::empty()).ok()) else {
            return;
        };
        let data = epoll::EventData::new_u64(u64::from(pid.unsigned_abs()));
        if epoll::add(&self.epoll, &fd, data, epoll::EventFlags::IN).is_ok() {
            held.insert(pid, fd);
        }
    }

    /// Starts the thread, and pokes the list of the runtime whenever a process ended, until `stop`.
    pub fn run(
        self: &Arc<Self>,
        stop: CancellationToken,
        poke: impl Fn() + Send + 'static,
    ) -> std::io::Result<()> {
        let this = self.clone();
        let thread_stop = stop.clone();
        std::thread::Builder::new().name("exits".to_owned()).spawn(move || this.wait(&thread_stop))?;
        let this = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = this.ended.notified() => {}
                }
                for wait in LOOKS {
                    tokio::time::sleep(wait).await;
                    poke();
                }
            }
        });
        Ok(())
    }

    fn wait(&self, stop: &CancellationToken) {
        let timeout = Timespec { tv_sec: STOP_LOOK_SECONDS, tv_nsec: 0 };
        let mut events: Vec<epoll::Event> = Vec::with_capacity(64);
        while !stop.is_cancelled() {
            events.clear();
            let room = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, room, Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => {
                    tracing::warn!("containers' ends are noticed late from now on: {e}");
                    return;
                }
            }
            for e in &events {
                let pid = i32::try_from(e.data.u64()).unwrap_or(0);
                if let Some(fd) = self.held.lock().remove(&pid) {
                    let _ = epoll::delete(&self.epoll, &fd);
                    self.ended.notify_one();
                }
            }
        }
    }
}

/// The process id in a verbose container status.
pub(super) fn pid_of(info: &std::collections::HashMap<String, String>) -> Option<i32> {
    let parsed: serde_json::Value = serde_json::from_str(info.get("info")?).ok()?;
    i32::try_from(parsed.get("pid")?.as_i64()?).ok().filter(|p| *p > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pids_are_found() {
        let info = |text: &str| [("info".to_owned(), text.to_owned())].into();
        assert_eq!(pid_of(&info("{\"pid\":77,\"x\":{}}")), Some(77));
        assert_eq!(pid_of(&info("{\"pid\":0}")), None);
        assert_eq!(pid_of(&info("no")), None);
    }

    #[tokio::test]
    async fn an_end_pokes() {
        let exits = Exits::new().unwrap();
        let stop = CancellationToken::new();
        let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
        exits
            .run(stop.clone(), move || {
                let _ = send.send(());
            })
            .unwrap();
        let mut child =
            tokio::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        exits.watch(i32::try_from(child.id().unwrap()).unwrap());
        drop(child.stdin.take());
        receive.recv().await.unwrap();
        child.wait().await.unwrap();
        stop.cancel();
    }
}
