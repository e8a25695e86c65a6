//! What a Secret says of the bootstrap token that it holds.
// k8s: pkg/controller/bootstrap/util.go, staging/src/k8s.io/cluster-bootstrap/util/secrets/secrets.go

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use crate::core::serviceaccounttoken::Secret;

const PREFIX: &str = "bootstrap-token-";
const ID_BYTES: usize = 6;

/// A text of a Secret; empty where it is not text.
fn text(base64: &str) -> String {
    String::from_utf8(STANDARD.decode(base64).unwrap_or_default()).unwrap_or_default()
}

/// When the token ends: `None` never, and at once where the time cannot be read.
pub(super) fn end(secret: &Secret) -> Option<Timestamp> {
    let end = text(&secret.data.expiration);
    (!end.is_empty()).then(|| end.parse().unwrap_or(Timestamp::MIN))
}

/// Id and secret of a token that may sign.
// k8s: pkg/controller/bootstrap/util.go validateSecretForSigning
pub(super) fn signing(secret: &Secret, now: Timestamp) -> Option<(String, String)> {
    let named = secret.metadata.name.strip_prefix(PREFIX)?;
    let plain = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase();
    let (id, key) = (text(&secret.data.token_id), text(&secret.data.token_secret));
    let fits = named.len() == ID_BYTES && named.bytes().all(plain) && id == named && !key.is_empty();
    let may = text(&secret.data.signing) == "true" && end(secret).is_none_or(|at| at > now);
    (fits && may && !secret.metadata.deleting()).then_some((id, key))
}
