//! A folder's state while a person works on it: no scheduler can open it meanwhile, whatever condition it is in.

use std::{
    fs::{self, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown},
    path::{Path, PathBuf},
    sync::Arc,
};

use millstream_scheduler::RecordChange;
use nix::fcntl::OFlag;
use redb::{Database, backends::FileBackend};

use super::{FILE, File, MARKER, MARKER_TEXT, Redb, checked, is_empty, is_there, read, texts, with_table, write};
use crate::{
    clock,
    store::{Found, Records, StoreError, folder, puts},
};

/// Beside the state's file: the next one, before it takes its place.
const NEW: &str = "state.redb.new";

/// Beginning of the name of a file that was replaced; the time follows, in milliseconds since 1970.
const ASIDE: &str = "state.redb.before-";

/// A folder's state that nobody else can open.
pub(crate) struct Held {
    folder: PathBuf,
    file: PathBuf,
    lock: Lock,
}

/// Both are the same lock on the state's file: one excludes the other.
enum Lock {
    /// redb's own.
    Store(Redb),
    /// On a file that redb cannot open.
    File(#[expect(dead_code, reason = "it is held")] fs::File),
}

/// Whether the folder has, or had, a state.
pub(crate) fn is_state(folder: &Path) -> Result<bool, StoreError> {
    let is = |name| folder.join(name).try_exists();
    let is = is(FILE).and_then(|file| Ok(file || is(MARKER)?));
    is.map_err(|source| StoreError::Folder { path: folder.into(), source })
}

impl Held {
    /// Takes the folder, which is made when it is not there, and says what is in it. Blocks.
    pub(crate) fn open(folder: &Path) -> Result<(Held, Found), StoreError> {
        let failed = |source| StoreError::Folder { path: folder.into(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let folder = fs::canonicalize(folder).map_err(failed)?;
        let file = folder.join(FILE);
        // A file that is only linked here stays where it is.
        let file = fs::canonicalize(&file).unwrap_or(file);
        let (lock, found) = taken(&file, &folder.join(MARKER))?;
        Ok((Held { folder, file, lock }, found))
    }

    /// Makes these the only records, all or nothing. What was there stays beside it and is named. Blocks.
    pub(crate) fn replace(&mut self, records: &Records) -> Result<Option<PathBuf>, StoreError> {
        let new = self.file.with_file_name(NEW);
        let replaced = self.written(&new, records).and_then(|database| Ok((database, self.put(&new)?)));
        match replaced {
            Ok((database, aside)) => {
                // Its lock was held before it came here: there is no moment at which a scheduler could open it.
                self.lock = Lock::Store(Redb(Arc::new(File::new(self.file.clone(), database))));
                Ok(aside)
            }
            Err(error) => {
                let _ = fs::remove_file(&new);
                Err(error)
            }
        }
    }

    /// Changes single records of a state that could be read, in one transaction. Blocks.
    pub(crate) fn apply(&self, changes: &[RecordChange]) -> Result<(), StoreError> {
        match &self.lock {
            Lock::Store(Redb(store)) => store.with(|database| write(database, &texts(changes))),
            Lock::File(_) => Err(StoreError::Torn { node: self.file.display().to_string() }),
        }
    }

    /// The whole next file, read back.
    fn written(&self, new: &Path, records: &Records) -> Result<Database, StoreError> {
        match fs::remove_file(new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(self.failed(error)),
            _ => {}
        }
        let file = self.made(new).map_err(|error| self.failed(error))?;
        let made = FileBackend::new(file).and_then(|file| Database::builder().create_with_backend(file));
        let database = with_table(made.map_err(|error| StoreError::Database(Box::new(error.into())))?)?;
        write(&database, &texts(&puts(records)))?;
        if read(&database)? != *records {
            return Err(StoreError::Torn { node: new.display().to_string() });
        }
        Ok(database)
    }

    fn put(&self, new: &Path) -> Result<Option<PathBuf>, StoreError> {
        let put = || {
            // First: a state that breaks off from here on was there, and is not begun anew.
            match self.made(&self.folder.join(MARKER)) {
                Ok(mut marker) => {
                    marker.write_all(MARKER_TEXT.as_bytes())?;
                    marker.sync_all()?;
                    fs::File::open(&self.folder)?.sync_all()?;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            let aside =
                (!is_empty(&self.file)).then(|| self.file.with_file_name(format!("{ASIDE}{}", clock::wall_ms())));
            if let Some(aside) = &aside {
                fs::hard_link(&self.file, aside)?;
            }
            fs::rename(new, &self.file)?;
            fs::File::open(folder(&self.file))?.sync_all()?;
            Ok(aside)
        };
        put().map_err(|error| self.failed(error))
    }

    /// A file that was not there, of the folder's owner: root may do this for a scheduler of another user.
    fn made(&self, path: &Path) -> io::Result<fs::File> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        let (owner, own) = (fs::metadata(&self.folder)?, file.metadata()?);
        if (owner.uid(), owner.gid()) != (own.uid(), own.gid()) && nix::unistd::geteuid().is_root() {
            fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        Ok(file)
    }

    fn failed(&self, source: io::Error) -> StoreError {
        StoreError::Folder { path: self.folder.clone(), source }
    }
}

fn taken(file: &Path, marker: &Path) -> Result<(Lock, Found), StoreError> {
    if let Err(emptied) = is_there(file, marker) {
        return Ok((Lock::File(locked(file)?), Found::Damaged(emptied)));
    }
    if is_empty(file) {
        return Ok((Lock::File(locked(file)?), Found::Nothing));
    }
    match checked(file) {
        Ok(database) => {
            let records = read(&database)?;
            Ok((Lock::Store(Redb(Arc::new(File::new(file.into(), database)))), Found::of(records)))
        }
        Err(error) if error.is_damage() => Ok((Lock::File(locked(file)?), Found::Damaged(error))),
        Err(error) => Err(error),
    }
}

/// The lock that redb takes, on the state's file as it is.
fn locked(path: &Path) -> Result<fs::File, StoreError> {
    let failed = |error: redb::Error| StoreError::Open { path: path.into(), source: Box::new(error) };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    let file = options.open(path).map_err(|error| failed(error.into()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(failed(redb::Error::DatabaseAlreadyOpen)),
        Err(TryLockError::Error(error)) => Err(failed(error.into())),
    }
}
