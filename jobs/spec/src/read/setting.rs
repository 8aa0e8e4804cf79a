//! Values that may be secrets: `{ env = "X" }`, `{ file = "/path" }`, or plain where that is harmless.

use std::path::PathBuf;

use toml::de::DeValue;

use super::{entry::Entry, report::Report};
use crate::{Diagnostic, Setting};

const FORMS: &str = "write `{ env = \"NAME\" }` for an environment variable, or `{ file = \"/path\" }` for a file, of the host that runs the executor";

/// Reads a setting. With `secret`, a plain value is refused, and never shown.
pub(super) fn read(entry: &Entry<'_>, secret: bool, r: &mut Report<'_>) -> Option<Setting> {
    let plain = match entry.value() {
        DeValue::Table(_) => return named(entry, r),
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(i) => i.to_string(),
        DeValue::Float(f) => f.to_string(),
        DeValue::Boolean(b) => b.to_string(),
        _ => return entry.wrong_type(r, "a string, number, boolean, or the name of a secret", FORMS),
    };
    if secret {
        r.hide(entry.span());
        r.push(
            Diagnostic::error(entry.span(), "a secret does not belong in a job file")
                .label("hidden here")
                .note("job files are kept in repositories, in the scheduler's store and in Mesos' state")
                .help(FORMS),
        );
        return None;
    }
    Some(Setting::Value(plain))
}

fn named(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<Setting> {
    let table = entry.section(r)?;
    let all = table.all();
    // `{ value = "…" }` and the like: whatever stands there may be the secret itself.
    all.iter().filter(|e| !["env", "file"].contains(&e.name(&table))).for_each(|e| e.hide(r));
    let [only] = all.as_slice() else {
        r.push(Diagnostic::error(entry.span(), "a secret has exactly one of `env` and `file`").help(FORMS));
        return None;
    };
    match only.name(&table) {
        "env" => {
            let text = only.filled_string(r)?;
            if text.value.contains(['=', '\0', '$', ' ']) {
                r.push(
                    Diagnostic::error(text.span, "this is not the name of an environment variable")
                        .help("write the bare name, as in `{ env = \"CASSANDRA_PASSWORD\" }`"),
                );
                return None;
            }
            Some(Setting::Env(text.value.to_owned()))
        }
        "file" => {
            let text = only.filled_string(r)?;
            if !text.value.starts_with('/') {
                r.push(
                    Diagnostic::error(text.span, "the path of a secret must be absolute")
                        .note("executors run in a sandbox of their own: a relative path would mean another file there")
                        .help("begin the path with `/`"),
                );
                return None;
            }
            Some(Setting::File(PathBuf::from(text.value)))
        }
        other => {
            r.push(Diagnostic::error(only.key.clone(), format!("`{other}` is no way to name a secret")).help(FORMS));
            None
        }
    }
}
