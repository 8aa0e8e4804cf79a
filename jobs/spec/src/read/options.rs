//! `[source.kafka.options]`: the properties that a job sets for its Kafka clients.

use std::collections::BTreeMap;

use super::{
    entry::{Entry, Section},
    report::Report,
    setting,
};
use crate::{
    Diagnostic, Setting,
    kafka_options::{self, Rule},
    suggest::nearest,
};

/// Most properties: librdkafka has about this many.
const MAX_OPTIONS: usize = 200;

/// Reads `[source.kafka.options]`.
pub(super) fn read(section: &Section<'_>, r: &mut Report<'_>) -> Option<BTreeMap<String, Setting>> {
    let entries = section.all();
    if entries.len() > MAX_OPTIONS {
        r.push(
            Diagnostic::error(section.span(), format!("there are more than {MAX_OPTIONS} options"))
                .help("keep those that differ from librdkafka's defaults"),
        );
        return None;
    }
    let mut options = BTreeMap::new();
    for entry in &entries {
        let name = entry.name(section);
        if let Some(setting) = option(name, entry, r) {
            options.insert(name.to_owned(), setting);
        }
    }
    (options.len() == entries.len()).then_some(options)
}

fn option(name: &str, entry: &Entry<'_>, r: &mut Report<'_>) -> Option<Setting> {
    if !name.contains('.') && nested(entry) {
        entry.hide(r);
        let error = Diagnostic::error(entry.key.clone(), format!("`{name}` is a table, not a property"));
        r.push(
            error
                .note("TOML reads dots in a bare key as nested tables")
                .help("put the whole property in quotation marks, as in `\"fetch.min.bytes\" = 1`"),
        );
        return None;
    }
    let refused = match kafka_options::rule(name) {
        Rule::Passed => {
            let setting = setting::read(entry, is_secret(name), r)?;
            return allowed_value(name, entry, &setting, r).then_some(setting);
        }
        Rule::Overruled(why) => {
            r.push(
                Diagnostic::warning(entry.key.clone(), format!("`{name}` changes nothing: {why}")).help("leave it out"),
            );
            return setting::read(entry, is_secret(name), r);
        }
        Rule::Owned(remedy) => {
            r.push(Diagnostic::error(entry.key.clone(), format!("`{name}` is set by Millstream")).help(remedy));
            return None;
        }
        Rule::Forbidden(remedy) => {
            Diagnostic::error(entry.key.clone(), format!("`{name}` is not for job files")).help(remedy)
        }
        Rule::Java(remedy) => {
            Diagnostic::error(entry.key.clone(), format!("`{name}` is a property of the Java client"))
                .note("Millstream reads with librdkafka")
                .help(remedy)
        }
        Rule::Unknown => unknown(name, entry),
    };
    // Whatever stands there may be a password.
    entry.hide(r);
    r.push(refused);
    None
}

fn allowed_value(name: &str, entry: &Entry<'_>, setting: &Setting, r: &mut Report<'_>) -> bool {
    let refused = match setting {
        Setting::Value(value) => kafka_options::refused_value(name, value),
        _ if kafka_options::FILES.contains(&name) => Some("write the path itself"),
        Setting::Env(_) | Setting::File(_) => None,
    };
    if let Some(remedy) = refused {
        r.push(Diagnostic::error(entry.span(), format!("this value of `{name}` is not for job files")).help(remedy));
    }
    refused.is_none()
}

fn unknown(name: &str, entry: &Entry<'_>) -> Diagnostic {
    let error = Diagnostic::error(entry.key.clone(), format!("`{name}` is no librdkafka property that a job may set"));
    match nearest(name, kafka_options::allowed()) {
        Some(meant) => error.help(format!("did you mean `{meant}`?")),
        None => error.help("docs/job-file.md lists those that a job may set"),
    }
}

/// A table that is not `{ env = … }` or `{ file = … }`: dots of an unquoted key.
fn nested(entry: &Entry<'_>) -> bool {
    let Some(table) = entry.value().as_table() else { return false };
    !table.is_empty() && table.keys().all(|k| !["env", "file"].contains(&k.get_ref().as_ref()))
}

/// Property or key whose value is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    const SECRET: [&str; 5] = ["password", "secret", "passphrase", "ssl.key.pem", "private.key.pem"];
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|s| name.contains(s))
}
