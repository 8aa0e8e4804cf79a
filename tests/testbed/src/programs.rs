//! Where Millstream's own programs are.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The program `name`: in `$MILLSTREAM_BIN_DIR`, beside the running program, or one folder up (test binaries live in
/// `deps/`).
pub fn program(name: &str) -> Result<PathBuf> {
    let mut folders = vec![];
    match std::env::var_os("MILLSTREAM_BIN_DIR") {
        Some(folder) => folders.push(PathBuf::from(folder)),
        None => {
            let own = std::env::current_exe().context("where is this program?")?;
            folders.extend(own.ancestors().skip(1).take(2).map(PathBuf::from));
        }
    }
    let found = folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file());
    found.with_context(|| {
        let looked: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        format!("no program {name} in {}: build it first (make build)", looked.join(" or "))
    })
}
