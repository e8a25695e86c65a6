//! UUIDs in quantity, for names that need not be secret.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Entropy;

/// UUIDs that differ from each other and between sources, made without a system call.
#[derive(Debug)]
pub struct Uuids {
    seed: u64,
    next: AtomicU64,
}

impl Uuids {
    /// A source of its own.
    #[must_use]
    pub fn new(entropy: &dyn Entropy) -> Self {
        Uuids { seed: entropy.next_u64(), next: AtomicU64::new(entropy.next_u64()) }
    }

    /// A new one as text: 36 bytes of version 4.
    pub fn make(&self) -> String {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        // A bijection of the counter: unique, and without a visible order.
        let id = u128::from(mix(n)) << 64 | u128::from(mix(n ^ self.seed));
        let id = id & !(0xf << 76) & !(0x3 << 62) | (4 << 76) | (2 << 62);
        let mut text = String::with_capacity(36);
        let mut shift = 128;
        for at in 0..36 {
            if matches!(at, 8 | 13 | 18 | 23) {
                text.push('-');
            } else {
                shift -= 4;
                text.push(char::from(HEX[(id >> shift) as usize & 15]));
            }
        }
        text
    }
}

/// SplitMix64's output function.
const fn mix(n: u64) -> u64 {
    let z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_have_the_form_and_differ() {
        let ids = Uuids::new(&crate::SeededEntropy::new(1));
        let text = ids.make();
        assert_eq!(text.len(), 36);
        assert_eq!(&text[14..15], "4", "{text}");
        assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"), "{text}");
        assert_ne!(text, ids.make());
    }
}
