//! The executor's program, as agents fetch it from the scheduler: `GET /executor/{sha256}`.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path, sync::Arc, time::SystemTime};

use bytes::Bytes;
use futures_util::Stream;
use sha2::{Digest as _, Sha256};

use crate::hex;

/// Where programs are served.
pub(crate) const ROUTE: &str = "/executor/{sha256}";

/// Bytes read at once: large enough to be fast, and all that a download holds in memory.
const READ_BYTES: usize = 256 << 10;

/// A program under the name of its checksum. The file stays open: what is installed in its place later is another file,
/// and another program.
#[derive(Debug, Clone)]
pub struct Program {
    file: Arc<File>,
    len: u64,
    modified: SystemTime,
    sha256: String,
}

impl Program {
    /// Opens the file and reads it once for its checksum. Blocks.
    pub fn open(path: &Path) -> io::Result<Program> {
        let file = File::open(path)?;
        let modified = file.metadata()?.modified()?;
        let (mut sha256, mut len, mut buffer) = (Sha256::new(), 0, vec![0; READ_BYTES]);
        loop {
            let read = file.read_at(&mut buffer, len)?;
            if read == 0 {
                break;
            }
            sha256.update(&buffer[..read]);
            len += read as u64;
        }
        Ok(Program { file: Arc::new(file), len, modified, sha256: hex(&sha256.finalize()) })
    }

    /// Its checksum in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        self.len
    }

    /// Whether nobody has written to the file since it was opened. Agents would keep wrong bytes in their caches, and check
    /// and refuse them for ever.
    pub fn is_unchanged(&self) -> io::Result<bool> {
        let file = self.file.metadata()?;
        Ok((file.len(), file.modified()?) == (self.len, self.modified))
    }

    /// Where it is served, after the scheduler's URL.
    pub fn url_path(&self) -> String {
        ROUTE.replace("{sha256}", &self.sha256)
    }

    /// Its bytes, read as they are taken.
    pub fn bytes(&self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let (file, len) = (self.file.clone(), self.len);
        futures_util::stream::try_unfold(0, move |from| {
            let file = file.clone();
            async move {
                let want = READ_BYTES.min(usize::try_from(len - from).unwrap_or(READ_BYTES));
                if want == 0 {
                    return Ok(None);
                }
                let read = tokio::task::spawn_blocking(move || {
                    let mut buffer = vec![0; want];
                    file.read_exact_at(&mut buffer, from).map(|()| buffer)
                });
                let buffer = read.await.map_err(io::Error::other)??;
                Ok(Some((Bytes::from(buffer), from + want as u64)))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_program_is_what_it_was_when_it_was_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("millstream-executor");
        let old: Vec<u8> = (0..READ_BYTES as u32 / 2).flat_map(u32::to_be_bytes).collect();
        std::fs::write(&path, &old).unwrap();
        let program = Program::open(&path).unwrap();
        // A new version is installed while the scheduler runs.
        std::fs::write(folder.path().join("new"), b"new").unwrap();
        std::fs::rename(folder.path().join("new"), &path).unwrap();
        let read: Vec<Bytes> = program.bytes().try_collect().await.unwrap();
        assert!(read.concat() == old && read.len() > 1);
        assert!(program.size() == old.len() as u64 && program.is_unchanged().unwrap());
        assert_ne!(Program::open(&path).unwrap().sha256(), program.sha256());
    }

    #[test]
    fn a_program_that_is_written_over_is_not_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("millstream-executor");
        std::fs::write(&path, b"old").unwrap();
        let program = Program::open(&path).unwrap();
        let later = program.modified + std::time::Duration::from_secs(1);
        let over = File::options().write(true).open(&path).unwrap();
        over.write_all_at(b"new", 0).unwrap();
        over.set_modified(later).unwrap();
        assert!(!program.is_unchanged().unwrap());
    }

    #[test]
    fn the_checksum_is_the_one_of_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, b"abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Program::open(&path).unwrap().url_path(), format!("/executor/{abc}"));
    }
}
