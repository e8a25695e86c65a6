//! A directory for one test, removed at its end.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// Removed with everything in it when dropped.
pub struct TestDir {
    pub path: PathBuf,
}

impl TestDir {
    /// A fresh directory.
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("kubelet-{name}-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temp directory is writable");
        TestDir { path }
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
