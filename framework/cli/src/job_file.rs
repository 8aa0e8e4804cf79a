//! Reads and checks a job file as far as this machine alone can.

use std::path::Path;

use millstream_daemon::check::{self, Checked};
use millstream_spec::{Diagnostic, Diagnostics, JobFile, Setting};

use crate::failure::Failure;

/// Reads a file's text.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|e| {
        let why = match e.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            std::io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
            _ => e.to_string(),
        };
        let remedy = "name a job file, as in `millstream validate jobs/flights.toml`";
        Failure::new(format!("{} cannot be read: {why}", path.display()), remedy)
    })
}

/// Checks the form of a job, plans its SQL, and shows its options to librdkafka.
pub(crate) fn check(path: &Path, text: &str) -> Result<Checked, Diagnostics> {
    let checked = check::offline(&path.display().to_string(), text)?;
    let refused = refused_options(&checked.file);
    if refused.is_empty() {
        return Ok(checked);
    }
    let warnings = checked.file.warnings.items().iter().cloned();
    Err(checked.file.diagnostics(warnings.chain(refused).collect()))
}

/// Options that librdkafka does not take, each by itself so that each is marked. Secrets are not read for this.
fn refused_options(file: &JobFile) -> Vec<Diagnostic> {
    let plain = file.spec.source.options.iter().filter(|(_, setting)| matches!(setting, Setting::Value(_)));
    plain
        .filter_map(|(name, setting)| {
            let mut alone = file.spec.source.clone();
            alone.options = [(name.clone(), setting.clone())].into();
            let config = millstream_topology::kafka::client_config(&alone).ok()?;
            let error = config.create_native_config().err()?;
            let help = "names and values are librdkafka's: see its CONFIGURATION.md".to_owned();
            let said = error.to_string();
            let said = format!("librdkafka refuses `{name}`: {}", said.trim_start_matches("Client config error: "));
            Some(file.error_at(&format!("source.kafka.options.{name}"), said, Some(help)))
        })
        .collect()
}
