//! Builds Mesos once and keeps it in the cache.

use std::{fs, path::PathBuf, process::Command};

use anyhow::Result;

use crate::{cache, tools};

/// The built Mesos, made when it is not in the cache. Blocks.
pub(super) fn root() -> Result<PathBuf> {
    tools::require(&[tools::PYTHON, tools::CC, tools::CXX])?;
    let sources = [
        ("build.sh", include_str!("../../resources/mesos/build.sh")),
        ("fetch.py", include_str!("../../resources/mesos/fetch.py")),
        ("stubs.py", include_str!("../../resources/mesos/stubs.py")),
        ("mesos-host.cpp", include_str!("../../resources/mesos/mesos-host.cpp")),
        ("mesos-executor.py", include_str!("../../resources/mesos/mesos-executor.py")),
        ("mesos-fetcher.py", include_str!("../../resources/mesos/mesos-fetcher.py")),
    ];
    let libraries = include_str!("../../resources/mesos/libraries.sh");
    let recipe: Vec<&str> = sources.iter().map(|(_, text)| *text).collect();
    let ensure_libraries = || tools::run(Command::new("bash").args(["-c", libraries]));
    let root = cache::entry("mesos-1.11.0", &recipe, |dir| {
        ensure_libraries()?;
        for (name, text) in sources {
            fs::write(dir.join(name), text)?;
        }
        tools::run(Command::new("bash").arg("build.sh").current_dir(dir)).map(drop)
    })?;
    ensure_libraries()?;
    Ok(root)
}
