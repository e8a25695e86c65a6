//! Fixtures, images, hollow nodes and helpers for tests.
//!
//! Everything that touches the host has a unique name and is removed when its guard is dropped,
//! also after a failed test. What is not installed is an error that names the Debian package, never
//! a skipped test.

pub mod cluster;
pub mod image;
pub mod kubectl;
pub mod netns;
pub mod node;
pub mod registry;
pub mod wait;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

/// A short name that no other test process or earlier call has: `<prefix>-<pid>-<n>`, digits in
/// base 36, at most `prefix` + 12 bytes.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}-{}-{}", base36(std::process::id()), base36(count))
}

/// Removes a directory with what is mounted below it, after a test that failed before it could do so in order.
fn sweep(dir: &Path) -> Result<()> {
    cri::containerd::unmount_below(&[dir])?;
    std::fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display()))
}

fn base36(mut number: u32) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit(number % 36, 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn unique_names_differ_and_are_short() {
        let (a, b) = (super::unique("t"), super::unique("t"));
        assert_ne!(a, b);
        assert!(a.len() <= 13, "{a}");
        assert_eq!(super::base36(35 * 36), "z0");
    }
}
