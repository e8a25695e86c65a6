//! Signatures without their content: JWS (RFC 7515, appendix F) by HMAC-SHA256 (RFC 2104) with a token's secret.
// k8s: staging/src/k8s.io/cluster-bootstrap/token/jws/jws.go ComputeDetachedSignature

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// Bytes that SHA-256 takes at a time.
const BLOCK: usize = 64;

/// `<header>..<signature>` of a content by the token of that id.
pub(super) fn detached(content: &str, id: &str, secret: &str) -> String {
    // The members stand in the order of their names, as other implementations write them: signatures are compared
    // as texts.
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "kid": id}).to_string());
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
    let signature = URL_SAFE_NO_PAD.encode(hmac(secret.as_bytes(), signed.as_bytes()));
    format!("{header}..{signature}")
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |with: u8| block.map(|b| b ^ with);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signatures are those of another implementation of HMAC.
    #[test]
    fn signatures() {
        let header = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9";
        let long = "s".repeat(80);
        for (content, secret, signature) in [
            ("the cluster's kubeconfig\n", "0123456789abcdef", "g-3Jm0IHWocmYk3GZDauPmn9gUwTv2HR8-h80NKtR1Y"),
            ("", "0123456789abcdef", "MO2tlCpY1xB334qWeOe_XEv9c6DIMRNmKJZImOzY17k"),
            ("x", &long, "SDFuOBGvFqQz48KkefnpTJ94pbZ6pgCKcLmFOomRgIg"),
        ] {
            assert_eq!(detached(content, "abcdef", secret), format!("{header}..{signature}"));
        }
    }
}
