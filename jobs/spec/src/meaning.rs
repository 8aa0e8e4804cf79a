//! What a job makes of a record, as one short text to compare.

use std::fmt::Write as _;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::model::{CassandraSink, JobSpec, Nulls, SourceColumn, Transform, Ttl};

/// Before the hash: another one if ever other things are hashed, so that texts are not compared across.
const VERSION: &str = "1:";

/// Bytes of the hash that are kept: enough never to meet by chance.
const BYTES: usize = 16;

#[derive(Serialize)]
struct Meaning<'a> {
    columns: &'a [SourceColumn],
    transform: &'a Transform,
    keyspace: &'a str,
    table: &'a str,
    ttl: &'a Option<Ttl>,
    nulls: Nulls,
    renamed: &'a std::collections::BTreeMap<String, String>,
}

impl JobSpec {
    /// Hash of what the job makes of a record: equal as long as the same record gives the same cells. Kept in the lists of
    /// timestamp blocks, so that a scheduler without memory knows whether a text is the one a table was written by.
    pub fn meaning(&self) -> String {
        let CassandraSink { keyspace, table, ttl, nulls, columns: renamed, .. } = &self.sink;
        let (columns, transform, nulls) = (&self.columns[..], &self.transform, *nulls);
        let meaning = Meaning { columns, transform, keyspace, table, ttl, nulls, renamed };
        // Plain data with text keys can always be written.
        let text = serde_json::to_vec(&meaning).unwrap_or_default();
        let mut hash = VERSION.to_owned();
        for byte in Sha256::digest(&text).iter().take(BYTES) {
            let _ = write!(hash, "{byte:02x}");
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use crate::parse;

    fn meaning(change: impl Fn(String) -> String) -> String {
        let text = include_str!("../../flights.toml").to_owned();
        parse("flights.toml", &change(text)).expect("an example").spec.meaning()
    }

    #[test]
    fn it_changes_with_what_a_record_becomes_and_with_nothing_else() {
        let before = meaning(|text| text);
        assert_eq!(before, meaning(|text| text.replace("cpus = 0.5", "cpus = 0.7")));
        assert_ne!(before, meaning(|text| text.replace("table = \"flights\"", "table = \"flights_2\"")));
        assert_eq!(before.len(), 2 + 32);
    }
}
