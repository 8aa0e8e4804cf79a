//! The audit log: who changed what, or was refused, as JSON lines.

use std::{
    fs::{File, OpenOptions, rename},
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use serde::Serialize;

use crate::access::Role;

/// A file this large is put aside, and the one that was aside before goes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Lines that wait for the disk.
const LINES_MAX: usize = 1_024;

/// One request.
#[derive(Debug, Serialize)]
pub(super) struct Entry<'a> {
    /// When it was answered, in milliseconds since 1970.
    pub(super) at_ms: u64,
    /// Name of the token; none of a stranger.
    pub(super) who: Option<&'a str>,
    pub(super) role: Option<Role>,
    pub(super) from: Option<SocketAddr>,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) status: u16,
}

/// Where entries go: a file, or the log.
#[derive(Clone)]
pub(crate) struct Journal(Option<SyncSender<String>>);

impl Journal {
    /// Into the process's log.
    pub(crate) fn log() -> Journal {
        Journal(None)
    }

    /// Appends to a file that only its owner may read.
    pub(crate) fn open(path: &Path) -> io::Result<Journal> {
        let file = append(path)?;
        let (sender, lines) = sync_channel(LINES_MAX);
        let path = path.to_owned();
        std::thread::Builder::new().name("audit".into()).spawn(move || keep(file, &path, &lines))?;
        Ok(Journal(Some(sender)))
    }

    pub(super) fn write(&self, entry: &Entry<'_>) {
        let line = serde_json::to_string(entry).unwrap_or_default();
        match &self.0 {
            None => tracing::info!(target: "audit", "{line}"),
            Some(lines) => {
                if lines.try_send(line).is_err() {
                    tracing::error!("the audit log does not keep up: a line is lost");
                }
            }
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn keep(mut file: File, path: &Path, lines: &Receiver<String>) {
    for line in lines {
        let written = file.write_all(format!("{line}\n").as_bytes()).and_then(|()| turn(&mut file, path));
        if let Err(error) = written {
            tracing::error!(%error, path = %path.display(), "the audit log cannot be written; a line is lost");
        }
    }
}

/// Puts a file that has become large aside.
fn turn(file: &mut File, path: &Path) -> io::Result<()> {
    if file.metadata()?.len() < FILE_BYTES_MAX {
        return Ok(());
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(".1");
    rename(path, PathBuf::from(aside))?;
    *file = append(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json_and_a_large_file_is_put_aside() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("deep/audit.jsonl");
        let journal = Journal::open(&path).expect("opened");
        let entry = |path| Entry { at_ms: 1, who: None, role: None, from: None, method: "PUT", path, status: 401 };
        journal.write(&entry("/a\u{1b}[2J\n"));
        let text = loop {
            let text = std::fs::read_to_string(&path).expect("there");
            if text.ends_with('\n') {
                break text;
            }
            std::thread::yield_now();
        };
        let line: serde_json::Value = serde_json::from_str(&text).expect("one line of JSON");
        assert_eq!((line["status"].as_u64(), text.lines().count()), (Some(401), 1));
        assert!(!text.contains('\u{1b}'));

        let mut file = append(&path).expect("opened");
        file.set_len(FILE_BYTES_MAX).expect("a sparse file");
        turn(&mut file, &path).expect("turned");
        assert_eq!(std::fs::metadata(&path).expect("a new one").len(), 0);
        assert!(dir.path().join("deep/audit.jsonl.1").exists());
    }
}
