//! librdkafka properties: which of them a job may set.

use std::collections::BTreeMap;

use super::{
    entry::{Entry, Section},
    report::Report,
    setting,
};
use crate::{Diagnostic, Setting};

/// Most properties: librdkafka has about this many.
const MAX_OPTIONS: usize = 200;

/// Properties Millstream sets itself, each with what to do instead.
const OWNED: &[(&[&str], &str)] = &[
    (&["bootstrap.servers", "metadata.broker.list"], "set `bootstrap` in [source.kafka]"),
    (&["group.id"], "set `group` in [source.kafka]"),
    (
        &["auto.offset.reset", "enable.auto.offset.reset"],
        "set `start` in [source.kafka]; a lost offset stops the partition instead of jumping over records",
    ),
    (
        &[
            "enable.auto.commit",
            "auto.commit.enable",
            "auto.commit.interval.ms",
            "enable.auto.offset.store",
            "offset.store.method",
        ],
        "leave it out: an offset is committed only when its rows are durable in Cassandra",
    ),
    (&["client.rack"], "leave it out: it follows from the host a task is placed on"),
    (&["isolation.level"], "leave it out: it is read_committed, so that records of aborted transactions make no rows"),
    (
        &[
            "partition.assignment.strategy",
            "group.instance.id",
            "group.protocol",
            "group.remote.assignor",
            "session.timeout.ms",
            "heartbeat.interval.ms",
            "max.poll.interval.ms",
        ],
        "leave it out: the scheduler assigns partitions, there is no group rebalance",
    ),
    (&["enable.partition.eof"], "leave it out: lag is measured by Millstream"),
    (&["statistics.interval.ms"], "leave it out: Millstream's own metrics say it"),
    (
        &["transactional.id", "enable.idempotence", "enable.gapless.guarantee"],
        "leave it out: Millstream decides how dead letters are written",
    ),
    (&["plugin.library.paths"], "leave it out: executors load no foreign code"),
];

/// Properties of the Java client that librdkafka does not know, each with what to write.
const JAVA_ONLY: &[(&str, &str)] = &[
    ("sasl.jaas.config", "set `sasl.username` and `sasl.password = { env = \"…\" }`"),
    ("max.poll.records", "leave it out: batches follow the memory of a task"),
    ("key.deserializer", "leave it out: the key is the column `_key`"),
    ("value.deserializer", "leave it out: `format` says how values are encoded"),
    ("ssl.truststore.location", "set `ssl.ca.location` to a PEM file"),
    ("ssl.truststore.password", "set `ssl.ca.location` to a PEM file, which has no password"),
    ("ssl.truststore.type", "set `ssl.ca.location` to a PEM file"),
    ("ssl.keystore.type", "set `ssl.keystore.location` to a PKCS#12 file"),
    ("exclude.internal.topics", "leave it out: a job reads the one topic it names"),
];

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
    if let Some((_, remedy)) = OWNED.iter().find(|(names, _)| names.contains(&name)) {
        r.push(Diagnostic::error(entry.key.clone(), format!("`{name}` is set by Millstream")).help(*remedy));
        return None;
    }
    if let Some((_, remedy)) = JAVA_ONLY.iter().find(|(java, _)| *java == name) {
        let error = Diagnostic::error(entry.key.clone(), format!("`{name}` is a property of the Java client"));
        r.push(error.note("Millstream reads with librdkafka").help(*remedy));
        // Whatever stands there may be a password.
        entry.hide(r);
        return None;
    }
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
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._".contains(&b)) {
        r.push(
            Diagnostic::error(entry.key.clone(), format!("`{name}` is not a librdkafka property"))
                .help("properties are written in lower case with dots, as in \"fetch.min.bytes\""),
        );
        return None;
    }
    setting::read(entry, is_secret(name), r)
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
