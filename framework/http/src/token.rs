//! Tokens that are sent, and the hashes that they are known by.

use hyper::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The token of `Authorization: Bearer …` (RFC 6750, 2.1).
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// SHA-256 of a token, in hex.
pub fn hash(token: &str) -> String {
    Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether two hashes are one, however their letters are written; in a time that tells nothing.
pub fn is_same(hash: &str, other: &str) -> bool {
    hash.to_ascii_lowercase().as_bytes().ct_eq(other.to_ascii_lowercase().as_bytes()).into()
}
