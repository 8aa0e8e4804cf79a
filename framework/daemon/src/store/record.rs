//! A record as text: JSON, and behind it a checksum of key and JSON, so that a record is never taken for another one than
//! was written. Records of earlier releases have none.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::StoreError;
use crate::hex;

/// Before the checksum. JSON as it is written here has no line breaks.
const MARK: &str = "\n#";

/// Bytes of the checksum: chance is what it is against.
const BYTES: usize = 8;

/// A record as it is stored.
pub(crate) fn encode(key: &str, value: &Value) -> String {
    let json = value.to_string();
    let sum = sum(key, &json);
    json + MARK + &sum
}

/// A record as it was stored.
pub(crate) fn decode(key: &str, stored: &[u8]) -> Result<Value, StoreError> {
    let torn = || StoreError::Torn { node: format!("record {key}") };
    let text = std::str::from_utf8(stored).map_err(|_| torn())?;
    let json = match text.rsplit_once(MARK) {
        Some((json, stored)) if stored == sum(key, json) => json,
        Some(_) => return Err(torn()),
        None => text,
    };
    serde_json::from_str(json).map_err(|source| StoreError::Damaged { key: key.into(), source })
}

fn sum(key: &str, json: &str) -> String {
    let digest = Sha256::new().chain_update(key).chain_update([0]).chain_update(json).finalize();
    hex(digest.iter().take(BYTES))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_what_was_written_is_no_record() {
        let value = json!({ "a": "b\n#c", "n": 17 });
        let stored = encode("job/a", &value);
        assert_eq!(decode("job/a", stored.as_bytes()).expect("whole"), value);
        assert_eq!(decode("job/a", value.to_string().as_bytes()).expect("of an earlier release"), value);
        decode("job/b", stored.as_bytes()).expect_err("another's");
        for at in 0..stored.len() {
            let mut damaged = stored.clone().into_bytes();
            damaged[at] ^= 1;
            assert!(decode("job/a", &damaged).is_err(), "byte {at}");
            let cut = decode("job/a", &stored.as_bytes()[..at]);
            assert!(cut.is_err() || cut.is_ok_and(|cut| cut == value), "cut at {at}");
        }
    }
}
