//! Hashes for names: the same input gives the same short text, of letters that spell nothing.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/rand/rand.go SafeEncodeString

use serde_json::Value;

const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// FNV-1a with 32 bits.
#[derive(Clone, Copy, Debug)]
pub struct Fnv(u32);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0x811c_9dc5)
    }
}

impl Fnv {
    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = (self.0 ^ u32::from(*b)).wrapping_mul(0x0100_0193);
        }
    }

    /// Adds text with an end mark, so that two texts differ from their concatenation.
    pub fn text(&mut self, s: &str) {
        self.write(s.as_bytes());
        self.write(&[0xff]);
    }

    /// Adds a JSON value; the order of object keys does not matter.
    pub fn value(&mut self, v: &Value) {
        match v {
            Value::Object(m) => {
                let mut keys: Vec<&String> = m.keys().collect();
                keys.sort();
                self.write(b"{");
                for k in keys {
                    self.text(k);
                    self.value(&m[k]);
                }
                self.write(b"}");
            }
            Value::Array(items) => {
                self.write(b"[");
                items.iter().for_each(|i| self.value(i));
                self.write(b"]");
            }
            scalar => self.text(&scalar.to_string()),
        }
    }

    /// The hash.
    #[must_use]
    pub fn finish(self) -> u32 {
        self.0
    }
}

/// Replaces every character by a safe one.
#[must_use]
pub fn encode(s: &str) -> String {
    s.bytes().map(|b| char::from(ALPHABET[usize::from(b) % ALPHABET.len()])).collect()
}

/// Five safe characters of a hash.
#[must_use]
pub fn suffix(hash: u32) -> String {
    let n = ALPHABET.len() as u32;
    let mut h = hash;
    let mut out = String::with_capacity(5);
    for _ in 0..5 {
        out.push(char::from(ALPHABET[(h % n) as usize]));
        h /= n;
    }
    out
}

/// `<prefix><5 characters>`, the prefix cut so that the name fits in 63 bytes.
#[must_use]
pub fn generated(prefix: &str, hash: u32) -> String {
    let mut cut = prefix.len().min(58);
    while !prefix.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}{}", &prefix[..cut], suffix(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_and_independent_of_key_order() {
        let hash = |t: &str| {
            let mut f = Fnv::default();
            f.value(&serde_json::from_str(t).unwrap());
            f.finish()
        };
        assert_eq!(hash(r#"{"a":1,"b":[2]}"#), hash(r#"{"b":[2],"a":1}"#));
        assert_ne!(hash(r#"{"a":1}"#), hash(r#"{"a":2}"#));
        assert_eq!(suffix(7).len(), 5);
        assert_eq!(generated(&"x".repeat(80), 7).len(), 63);
        assert!(encode("1234567890").chars().all(|c| ALPHABET.contains(&(c as u8))));
    }
}
