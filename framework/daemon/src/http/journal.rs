//! The audit log: who changed what, or was refused, as JSON lines.

use std::{
    fs::{File, OpenOptions, rename},
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{access::Role, clock};

/// A file this large is put aside, and the one that was aside before goes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Lines that wait for the disk.
const LINES_MAX: usize = 1_024;

/// Longest path in a line.
const PATH_BYTES_MAX: usize = 256;

/// Strangers' lines in a second; what is beyond is only counted, so that nobody without a token drives out what is written.
const STRANGERS_MAX: u32 = 200;

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

/// What was read again, because of a SIGHUP.
#[derive(Debug, Serialize)]
struct Reload<'a> {
    /// When, in milliseconds since 1970.
    at_ms: u64,
    event: &'static str,
    what: &'a str,
    /// Why it stays as it was; none when it was read.
    error: Option<&'a str>,
}

/// Where entries go: a file, or the log.
#[derive(Clone)]
pub(crate) struct Journal {
    lines: Option<SyncSender<String>>,
    strangers: Arc<Mutex<Strangers>>,
}

/// Lines of strangers in the second that began then.
struct Strangers {
    since: Instant,
    count: u32,
}

impl Journal {
    /// Into the process's log.
    pub(crate) fn log() -> Journal {
        Journal::to(None)
    }

    fn to(lines: Option<SyncSender<String>>) -> Journal {
        Journal { lines, strangers: Arc::new(Mutex::new(Strangers { since: Instant::now(), count: 0 })) }
    }

    /// Appends to a file that only its owner may read.
    pub(crate) fn open(path: &Path) -> io::Result<Journal> {
        let file = append(path)?;
        let (sender, lines) = sync_channel(LINES_MAX);
        let path = path.to_owned();
        std::thread::Builder::new().name("audit".into()).spawn(move || keep(file, &path, &lines))?;
        Ok(Journal::to(Some(sender)))
    }

    pub(super) fn write(&self, entry: &Entry<'_>) {
        if entry.who.is_none() && self.are_too_many() {
            return;
        }
        let path = &entry.path[..entry.path.floor_char_boundary(PATH_BYTES_MAX)];
        self.line(serde_json::to_string(&Entry { path, ..*entry }).unwrap_or_default(), entry.who.is_some());
    }

    /// Writes down that something was read again, or why not.
    pub(crate) fn reload(&self, what: &str, error: Option<&str>) {
        let entry = Reload { at_ms: clock::wall_ms(), event: "reload", what, error };
        self.line(serde_json::to_string(&entry).unwrap_or_default(), true);
    }

    fn line(&self, line: String, is_ours: bool) {
        let Some(lines) = &self.lines else { return tracing::info!(target: "audit", "{line}") };
        match lines.try_send(line) {
            Ok(()) => {}
            // What somebody with a token has done is written down, however long the disk takes.
            Err(TrySendError::Full(line)) if is_ours => {
                let lines = lines.clone();
                tokio::task::spawn_blocking(move || lines.send(line));
            }
            Err(_) => tracing::error!("the audit log does not keep up: a stranger's line is lost"),
        }
    }

    fn are_too_many(&self) -> bool {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if strangers.since.elapsed() >= Duration::from_secs(1) {
            let lost = strangers.count.saturating_sub(STRANGERS_MAX);
            if lost > 0 {
                tracing::warn!(lost, "strangers ask more than the audit log takes");
            }
            *strangers = Strangers { since: Instant::now(), count: 0 };
        }
        strangers.count += 1;
        strangers.count > STRANGERS_MAX
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
