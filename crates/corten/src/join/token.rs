//! The join token: a bootstrap token, and the hash of the authority's public key, by which the joining machine
//! knows that it talks to the right control plane: `abcdef.0123456789abcdef:sha256:<64 hex digits>`.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use sys::Entropy;

use crate::whole_file;

const ID_CHARACTERS: usize = 6;
const SECRET_CHARACTERS: usize = 16;
const HASH_DIGITS: usize = 64;

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    pub id: String,
    pub secret: String,
    /// `sha256:...`, as kubeadm's `--discovery-token-ca-cert-hash`.
    pub ca_hash: String,
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({})", self.id)
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}:{}", self.id, self.secret, self.ca_hash)
    }
}

impl FromStr for JoinToken {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let (bearer, ca_hash) = text.trim().split_once(':')?;
            let (id, secret) = bearer.split_once('.')?;
            let digits = ca_hash.strip_prefix("sha256:")?;
            let plain = |s: &str| s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            let fits = id.len() == ID_CHARACTERS
                && secret.len() == SECRET_CHARACTERS
                && digits.len() == HASH_DIGITS
                && [id, secret].into_iter().all(plain)
                && digits.bytes().all(|b| b.is_ascii_hexdigit());
            fits.then(|| JoinToken {
                id: id.to_owned(),
                secret: secret.to_owned(),
                ca_hash: ca_hash.to_ascii_lowercase(),
            })
        };
        parse().context(
            "the token is not whole: it is the line in agent.token of the control plane's state directory, \
             and looks like abcdef.0123456789abcdef:sha256:<64 digits>",
        )
    }
}

impl JoinToken {
    /// What is sent as the bearer token.
    #[must_use]
    pub fn bearer(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }

    /// The token of a state directory, made at the first start.
    ///
    /// # Errors
    /// When its file cannot be read or written.
    pub fn of_state(path: &Path, ca_pem: &str, entropy: &dyn Entropy) -> Result<Self> {
        let ca_hash =
            wire::pki::public_key_hash(ca_pem).map_err(|e| anyhow::anyhow!("the authority: {e}"))?;
        let old: Option<JoinToken> = match std::fs::read_to_string(path) {
            Ok(text) => text.parse().ok(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => bail!("{}: {e}", path.display()),
        };
        if let Some(old) = old.filter(|o| o.ca_hash == ca_hash) {
            return Ok(old);
        }
        let text = |n| random(n, entropy);
        let new = JoinToken { id: text(ID_CHARACTERS), secret: text(SECRET_CHARACTERS), ca_hash };
        whole_file::write(path, format!("{new}\n").as_bytes())?;
        Ok(new)
    }
}

/// So many small letters and digits.
fn random(count: usize, entropy: &dyn Entropy) -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    (0..count).map(|_| char::from(ALPHABET[(entropy.next_u64() % 36) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use sys::SeededEntropy;

    use super::*;

    #[test]
    fn the_text_of_a_token() {
        let hash = format!("sha256:{}", "0f".repeat(32));
        let text = format!("abcdef.0123456789abcdef:{hash}");
        let token: JoinToken = format!(" {text}\n").parse().unwrap();
        assert_eq!(token.to_string(), text);
        assert_eq!(token.bearer(), "abcdef.0123456789abcdef");
        for bad in ["", "abcdef.0123456789abcdef", "abcdef.0123456789abcdef:sha256:00", "a.b:c"] {
            let error = bad.parse::<JoinToken>().unwrap_err().to_string();
            assert!(error.contains("agent.token"), "{error}");
        }
        assert!(!format!("{token:?}").contains("0123456789abcdef"));
        assert_eq!(random(6, &SeededEntropy::new(1)).len(), 6);
    }
}
