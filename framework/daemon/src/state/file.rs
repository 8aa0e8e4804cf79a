//! The file of a backup: whole or not there, its owner's alone, and read whatever somebody has put in its place.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use millstream_topology::settings;

use super::backup::{BYTES_MAX, Backup, BackupError};

/// Whether a backup may be written there: what is there already is a file, and only goes by `force`.
pub fn check(path: &Path, force: bool) -> Result<(), BackupError> {
    let file = path.display().to_string();
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => Err(BackupError::NotAFile { file }),
        Ok(_) if !force => Err(BackupError::There { file }),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(BackupError::Write { file, source }),
    }
}

/// Writes a backup as it was encoded, durable on return. Blocks.
pub fn write(path: &Path, text: &[u8], force: bool) -> Result<(), BackupError> {
    check(path, force)?;
    let new = beside(path);
    let done = written(&new, text).and_then(|()| {
        // Somebody else's may have come meanwhile.
        if !force && path.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(&new, path)?;
        File::open(folder(path))?.sync_all()
    });
    done.map_err(|source| {
        let _ = fs::remove_file(&new);
        BackupError::Write { file: path.display().to_string(), source }
    })
}

/// Reads a backup that this release can take over. Blocks.
pub fn read(path: &Path) -> Result<Backup, BackupError> {
    let file = settings::open_within(path, BYTES_MAX)?;
    Backup::decode(&path.display().to_string(), BufReader::new(file.take(BYTES_MAX)))
}

fn written(new: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
    file.write_all(text)?;
    file.sync_all()
}

/// A name of this process's own, in the same folder.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_there_goes_only_by_force_and_only_when_it_is_a_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name);
        write(&at("b"), b"one", false).expect("written");
        assert_eq!(fs::metadata(at("b")).expect("there").permissions().mode() & 0o777, 0o600);
        let there = write(&at("b"), b"two", false).expect_err("it is there").to_string();
        assert!(there.contains("--force") && fs::read(at("b")).expect("there") == b"one", "{there}");
        write(&at("b"), b"two", true).expect("by force");
        assert_eq!(fs::read(at("b")).expect("there"), b"two");

        std::os::unix::fs::symlink(at("b"), at("link")).expect("a link");
        std::os::unix::fs::symlink(at("nowhere"), at("dangling")).expect("a link");
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        for other in [&at("link"), &at("dangling"), &at("pipe"), dir.path(), Path::new("/dev/null")] {
            let error = write(other, b"x", true).expect_err("no file").to_string();
            assert!(error.contains("not a regular file"), "{error}");
        }
        assert!(matches!(write(&at("no/folder"), b"x", false), Err(BackupError::Write { .. })));
        let left: Vec<_> =
            fs::read_dir(dir.path()).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left.len(), 4, "{left:?}");
    }

    #[test]
    fn a_disk_without_room_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        // A file may have no more than this, as on a disk without room.
        let full = dir.path().join("b");
        let new = beside(&full);
        fs::create_dir(&new).expect("in its way");
        assert!(matches!(write(&full, b"x", false), Err(BackupError::Write { .. })) && !full.exists());
    }

    #[test]
    fn whatever_is_no_backup_is_refused_at_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let large = dir.path().join("large");
        File::create(&large).and_then(|file| file.set_len(BYTES_MAX + 1)).expect("a sparse file");
        let zeros = dir.path().join("zeros");
        File::create(&zeros).and_then(|file| file.set_len(256 << 20)).expect("a sparse file");
        for path in [&pipe, &large, &zeros, dir.path(), Path::new("/dev/zero"), &dir.path().join("nowhere")] {
            read(path).expect_err("no backup");
        }
    }
}
