//! What a process does at its start when strangers can reach it, or when it holds secrets.

use nix::sys::{
    prctl::set_dumpable,
    resource::{Resource, getrlimit, setrlimit},
    stat::{Mode, umask},
};

/// Nobody else may read what it writes, its memory, its environment, or what is left of it after a crash.
pub fn harden() {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    // Both are there on every Linux; without them there is only one wall less.
    let _ = set_dumpable(false);
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
}

/// How many files this process may open.
pub(crate) fn open_files() -> usize {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(now, _)| usize::try_from(now).unwrap_or(usize::MAX))
}

/// Lets this process open as many files as it may: each connection is one.
pub fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most).map(|()| most));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
}
