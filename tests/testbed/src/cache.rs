//! What the servers are made of, kept between runs: jars from Maven, the built Mesos.
//!
//! One entry is one folder. It is made in a temporary folder beside its place and renamed into it, under a file lock, so
//! that parallel tests wait for one build and never see half of it.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// `$MILLSTREAM_CACHE`, or `.cache/millstream` in the home folder.
pub fn folder() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("MILLSTREAM_CACHE") {
        return Ok(PathBuf::from(dir));
    }
    let home = std::env::var_os("HOME").context("neither MILLSTREAM_CACHE nor HOME is set")?;
    Ok(Path::new(&home).join(".cache/millstream"))
}

/// The entry `name` made from `recipe`; `make` fills an empty folder when it is not there yet. Blocks.
pub(crate) fn entry(name: &str, recipe: &[&str], make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    entry_in(&folder()?, name, recipe, make)
}

fn entry_in(cache: &Path, name: &str, recipe: &[&str], make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    // Another recipe is another entry: nothing stale is ever used, whatever the version names say.
    let mut hash = DefaultHasher::new();
    recipe.hash(&mut hash);
    let entry = cache.join(format!("{name}-{:08x}", hash.finish() as u32));
    if entry.is_dir() {
        return Ok(entry);
    }
    fs::create_dir_all(cache).with_context(|| format!("cannot make the cache folder {}", cache.display()))?;
    let lock = File::create(cache.join(format!(".{name}.lock"))).context("cannot make a lock file in the cache")?;
    lock.lock().context("cannot lock the cache")?;
    if entry.is_dir() {
        return Ok(entry);
    }
    tracing::info!(entry = %entry.display(), "making, once");
    let work = tempfile::Builder::new().prefix(&format!(".{name}-")).tempdir_in(cache)?;
    make(work.path()).with_context(|| format!("cannot make {name}"))?;
    fs::rename(work.keep(), &entry)?;
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_made_once_and_a_failed_one_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let failed = entry_in(dir.path(), "a", &["x"], |_| anyhow::bail!("no"));
        assert_eq!(format!("{:#}", failed.unwrap_err()), "cannot make a: no");
        let made = entry_in(dir.path(), "a", &["x"], |work| Ok(fs::write(work.join("f"), "1")?)).unwrap();
        let again = entry_in(dir.path(), "a", &["x"], |_| panic!("made twice")).unwrap();
        assert_eq!(made, again);
        assert_eq!(fs::read_to_string(again.join("f")).unwrap(), "1");
        let other = entry_in(dir.path(), "a", &["y"], |work| Ok(fs::write(work.join("f"), "2")?)).unwrap();
        assert_ne!(other, made);
    }
}
