//! What a server process logs, and how that is changed while it runs.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use millstream_daemon::{Config, Overrides, Reload, chain};
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, fmt, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

use crate::{failure::Failure, output::Output};

/// Wins at the start over what settings and command line say.
const VARIABLE: &str = "MILLSTREAM_LOG";

/// Our own parts, which a plain level is about; of the libraries what is wrong.
const OWN: [&str; 7] = [
    "millstream",
    "millstream_daemon",
    "millstream_http",
    "millstream_local",
    "millstream_mesos",
    "millstream_scheduler",
    "millstream_topology",
];

/// Where the audit log goes that has no file: it is no matter of levels.
const AUDIT: &str = "audit=info";

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Logs of this level, or as this list of `target=level` says, from now on.
pub(crate) struct Log(reload::Handle<EnvFilter, Registry>);

/// Logs to standard error, as lines for people (with colours only where they see them) or as JSON. A variable that is wrong
/// is said, and the level of the settings counts.
pub(crate) fn start(level: &str, out: Output) -> Result<Log, Failure> {
    let settings = filter(level).map_err(|problem| Failure::new(format!("log.level: {problem}"), REMEDY))?;
    let said = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()).map(|text| filter(&text));
    let (first, wrong) = match said {
        Some(Ok(said)) => (said, None),
        Some(Err(problem)) => (settings, Some(problem)),
        None => (settings, None),
    };
    let (layer, handle) = reload::Layer::new(first);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(out.color());
    let lines = if out.json { lines.json().boxed() } else { lines.boxed() };
    // A second initialisation can only come from a test: the first one stays.
    let _ = tracing_subscriber::registry().with(layer).with(lines).try_init();
    if let Some(problem) = wrong {
        tracing::warn!(problem, remedy = REMEDY, "{VARIABLE} is not heeded");
    }
    Ok(Log(handle))
}

const REMEDY: &str =
    "write a level (error, warn, info, debug, trace), or a list of them as in \"warn,millstream_mesos=debug\"";

impl Log {
    /// Reads the level out of the settings again. One that is what it was is left alone: what a variable says stays.
    pub(crate) fn reload(self, level: String, file: Option<PathBuf>, overrides: Overrides) -> Reload {
        let known = Mutex::new(level);
        Arc::new(move || {
            let level = match Config::load(file.as_deref(), overrides.clone()) {
                Ok(config) => config.log.level,
                Err(error) => return Some(Err(chain(&error))),
            };
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            if *known == level {
                return None;
            }
            let changed = filter(&level).and_then(|filter| self.0.reload(filter).map_err(|error| error.to_string()));
            Some(changed.map(|()| {
                known.clone_from(&level);
                level
            }))
        })
    }
}

/// A level is about our own parts; a list is taken as it is.
fn filter(level: &str) -> Result<EnvFilter, String> {
    let parts: Vec<&str> = level.split(',').map(str::trim).collect();
    // A target alone would be heard at every level: it is a slip of the hand in a level's name.
    let is_known = |part: &str| LEVELS.contains(&part) || part.contains('=');
    if let Some(part) = parts.iter().find(|part| !is_known(part)) {
        return Err(format!("{part:?} is no level"));
    }
    let text = match parts[..] {
        [level] if LEVELS.contains(&level) => {
            format!("warn,{AUDIT},{}", OWN.map(|own| format!("{own}={level}")).join(","))
        }
        _ => format!("{AUDIT},{}", parts.join(",")),
    };
    EnvFilter::try_new(text).map_err(|error| chain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_about_our_own_parts_and_a_list_is_as_it_is() {
        let text = |level: &str| filter(level).map(|filter| filter.to_string());
        let debug = text("debug").expect("a level");
        assert!(debug.contains("millstream_mesos=debug") && debug.contains("warn") && debug.contains(AUDIT), "{debug}");
        let list = text("error, millstream_mesos=trace").expect("a list");
        assert!(list.contains("millstream_mesos=trace") && list.contains(AUDIT) && !list.contains("warn"), "{list}");
        for wrong in ["", "inof", "INFO", "info,", "millstream_mesos", "a=loud"] {
            filter(wrong).expect_err(wrong);
        }
    }
}
