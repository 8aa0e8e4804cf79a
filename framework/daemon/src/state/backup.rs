//! A backup of a state, as JSON lines: a head, each record, and a checksum of all that stands before it.
//!
//! ```text
//! {"millstream_state":1,"version":"0.1.0","made_ms":1764407703000,"from":"/var/lib/millstream","framework":"…","records":2}
//! {"key":"counter","value":{"next":32}}
//! {"key":"framework","value":{"id":"…"}}
//! {"sha256":"…"}
//! ```

use std::io::{BufRead, Read as _};

use millstream_scheduler::{RestoreError, Settings, State};
use millstream_topology::SettingError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{clock, hex, store::Records};

/// The form that this release writes. Older ones are read for ever.
const FORM: u64 = 1;

/// Largest backup: the state of 100,000 tasks has about 300 MB.
pub const BYTES_MAX: u64 = 1 << 30;

/// Largest record in it: a job with four versions of its file, each of 1 MiB, and then some.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// The records of a state, at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Backup {
    /// Of the program that made it.
    pub version: String,
    /// When, in milliseconds since 1970.
    pub made_ms: u64,
    /// Where the state was.
    pub from: String,
    /// All of them.
    pub records: Records,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Its file cannot be read.
    #[error(transparent)]
    Read(#[from] SettingError),
    /// It cannot be written.
    #[error("{file} cannot be written")]
    Write {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something is there that is not to be lost.
    #[error("{file} is there already; take another name, or --force to write over it")]
    There {
        /// The file.
        file: String,
    },
    /// What is there is no file.
    #[error("{file} is not a regular file; name one")]
    NotAFile {
        /// What was named.
        file: String,
    },
    /// It is something else.
    #[error("{file} is no backup of a state; `millstream state backup FILE` makes one")]
    Foreign {
        /// The file.
        file: String,
    },
    /// A later release has made it.
    #[error("{file} has form {form}, and this program reads forms up to {FORM}: use one as new as that which made it")]
    Newer {
        /// The file.
        file: String,
        /// Its form.
        form: u64,
    },
    /// It is not what was written.
    #[error("{file} is damaged, line {line}: {problem}; nothing was changed, take another backup")]
    Damaged {
        /// The file.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// Its records are none that this release can take over.
    #[error("the records in {file} cannot be taken over; nothing was changed")]
    Records {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: RestoreError,
    },
}

#[derive(Serialize, Deserialize)]
struct Head {
    millstream_state: u64,
    version: String,
    made_ms: u64,
    from: String,
    framework: Option<String>,
    records: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: String,
    value: Value,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    sha256: String,
}

impl Backup {
    /// Of this moment.
    pub fn now(from: String, records: Records) -> Backup {
        Backup { version: env!("CARGO_PKG_VERSION").to_owned(), made_ms: clock::wall_ms(), from, records }
    }

    /// As it is written. Takes as much memory again as the records.
    pub fn encode(&self) -> Vec<u8> {
        let head = Head {
            millstream_state: FORM,
            version: self.version.clone(),
            made_ms: self.made_ms,
            from: self.from.clone(),
            framework: super::framework(&self.records).map(str::to_owned),
            records: self.records.len(),
        };
        let mut text = vec![];
        push(&mut text, &head);
        for (key, value) in &self.records {
            push(&mut text, &Line { key: key.clone(), value: value.clone() });
        }
        let sha256 = hex(&Sha256::digest(&text));
        push(&mut text, &End { sha256 });
        text
    }

    /// As it was written, all of it, with records that this release can take over. `file` is what it is called in errors.
    pub fn decode(file: &str, from: impl BufRead) -> Result<Backup, BackupError> {
        let mut lines = Lines { file, from, number: 0, sum: Sha256::new() };
        let head = lines.head()?;
        let mut records = Records::new();
        for _ in 0..head.records {
            let Line { key, value } = lines.next("a record")?;
            if records.insert(key, value).is_some() {
                return Err(lines.damaged("its record is there twice"));
            }
        }
        let found = hex(&lines.sum.clone().finalize());
        let End { sha256 } = lines.next("the checksum")?;
        if found != sha256 {
            return Err(lines.damaged("what stands above does not have this checksum"));
        }
        if lines.read()?.is_some() {
            return Err(lines.damaged("nothing should come after the checksum"));
        }
        State::restore(Settings::default(), records.clone())
            .map_err(|source| BackupError::Records { file: file.to_owned(), source })?;
        Ok(Backup { version: head.version, made_ms: head.made_ms, from: head.from, records })
    }
}

fn push(text: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(&mut *text, line).expect("plain values with text keys, into memory");
    text.push(b'\n');
}

struct Lines<'a, R> {
    file: &'a str,
    from: R,
    /// Of the line read last, counted from 1.
    number: usize,
    /// Of all lines read.
    sum: Sha256,
}

impl<R: BufRead> Lines<'_, R> {
    fn head(&mut self) -> Result<Head, BackupError> {
        let file = self.file.to_owned();
        let line = self.read().ok().flatten().unwrap_or_default();
        let line: Value = serde_json::from_slice(&line).unwrap_or_default();
        match line["millstream_state"].as_u64() {
            None => Err(BackupError::Foreign { file }),
            Some(form) if form > FORM => Err(BackupError::Newer { file, form }),
            Some(_) => serde_json::from_value(line).map_err(|error| self.damaged(&error.to_string())),
        }
    }

    fn next<T: for<'de> Deserialize<'de>>(&mut self, what: &str) -> Result<T, BackupError> {
        match self.read()? {
            Some(line) => serde_json::from_slice(&line).map_err(|_| self.damaged(&format!("it is not {what}"))),
            None => Err(self.damaged(&format!("it ends here, without {what}"))),
        }
    }

    /// A whole line; none at the end.
    fn read(&mut self) -> Result<Option<Vec<u8>>, BackupError> {
        self.number += 1;
        let mut line = vec![];
        let read = self.from.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line);
        read.map_err(|error| self.damaged(&error.to_string()))?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') {
            let is_long = line.len() as u64 > LINE_BYTES_MAX;
            return Err(self.damaged(if is_long { "it is too long" } else { "it ends in the middle of this line" }));
        }
        self.sum.update(&line);
        Ok(Some(line))
    }

    fn damaged(&self, problem: &str) -> BackupError {
        BackupError::Damaged { file: self.file.to_owned(), line: self.number, problem: problem.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn backup() -> Backup {
        let records = [
            ("counter", json!({ "next": 32 })),
            ("framework", json!({ "id": "a-b" })),
            ("retired/flights", json!({ "generation": 3 })),
        ];
        let records = records.map(|(key, value)| (key.to_owned(), value)).into();
        Backup { version: "0.1.0".into(), made_ms: 1, from: "/var/lib/\"x\"\n".into(), records }
    }

    fn read(text: &[u8]) -> Result<Backup, BackupError> {
        Backup::decode("b.jsonl", text)
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let text = backup().encode();
        assert_eq!(read(&text).expect("whole"), backup());
        for at in 0..text.len() {
            read(&text[..at]).expect_err("cut");
            let mut damaged = text.clone();
            damaged[at] ^= 1;
            let error = read(&damaged).expect_err("damaged").to_string();
            assert!(error.starts_with("b.jsonl "), "{error}");
        }
        for more in ["\n", "{}\n", "x"] {
            read(&[text.as_slice(), more.as_bytes()].concat()).expect_err(more);
        }
    }

    #[test]
    fn whoever_gets_it_is_told_what_is_wrong_and_what_to_do() {
        let said = |text: &[u8]| read(text).expect_err("no backup").to_string();
        for foreign in [&b""[..], b"\n", b"{}\n", b"\0\0\0", b"[1]\n", b"name = \"a\"\n"] {
            assert!(said(foreign).contains("`millstream state backup FILE` makes one"), "{foreign:?}");
        }
        let newer = said(b"{\"millstream_state\":2,\"records\":\"other\"}\n");
        assert!(newer.contains("form 2") && newer.contains("forms up to 1"), "{newer}");
        let text = backup().encode();
        let cut: usize = text.split_inclusive(|byte| *byte == b'\n').take(3).map(<[u8]>::len).sum();
        assert_eq!(
            said(&text[..cut]),
            "b.jsonl is damaged, line 4: it ends here, without a record; nothing was changed, take another backup"
        );
    }

    #[test]
    fn records_of_a_newer_release_are_refused() {
        let mut newer = backup();
        newer.records.insert("window/1".into(), json!({}));
        let error = read(&newer.encode()).expect_err("a kind that is not known");
        assert!(crate::chain(&error).contains("window/1"), "{error}");
        for mark in [super::super::Mark::Moved { to: "x".into() }, super::super::Mark::Unfinished { from: "x".into() }]
        {
            let mut marked = backup();
            marked.records.insert(mark.put().key, json!({}));
            read(&marked.encode()).expect_err("no state to begin with");
        }
    }

    #[test]
    fn backups_of_every_release_are_read() {
        let text = include_str!("../../tests/backups/1.jsonl");
        let read = read(text.as_bytes()).expect("of release 0.1");
        assert_eq!(String::from_utf8(read.encode()).expect("text"), text);
    }
}
