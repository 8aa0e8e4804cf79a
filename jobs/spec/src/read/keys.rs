//! Every key a job file may have, by section: for "unknown key" and to find the section a misplaced key belongs to.

/// Dotted section path → its keys. Sections whose keys are the user's own names are not here.
pub(crate) const SECTIONS: &[(&str, &[&str])] = &[
    ("", &["name", "source", "transform", "sink", "tasks", "placement", "errors"]),
    ("source", &["kafka", "columns"]),
    ("source.kafka", &["bootstrap", "topic", "group", "start", "format", "options"]),
    ("transform", &["sql"]),
    ("sink", &["cassandra"]),
    (
        "sink.cassandra",
        &[
            "contact_points",
            "datacenter",
            "keyspace",
            "table",
            "consistency",
            "ttl",
            "nulls",
            "columns",
            "username",
            "password",
            "tls",
        ],
    ),
    ("sink.cassandra.tls", &["ca", "cert", "key", "name"]),
    ("sink.cassandra.ttl", &["column"]),
    ("tasks", &["count", "cpus", "mem", "revocable", "volume", "user"]),
    ("placement", &["goal", "max_wait", "max_share_per_host", "max_share_per_rack", "constraints"]),
    ("errors", &["bad_record", "show_values"]),
    ("errors.bad_record", &["dead_letter"]),
];

/// Keys other tools use, and the key here.
const FOREIGN: &[(&str, &str)] = &[
    ("brokers", "bootstrap"),
    ("bootstrap.servers", "bootstrap"),
    ("group.id", "group"),
    ("group_id", "group"),
    ("auto.offset.reset", "start"),
    ("offset", "start"),
    ("query", "sql"),
    ("hosts", "contact_points"),
    ("seeds", "contact_points"),
    ("dc", "datacenter"),
    ("memory", "mem"),
    ("parallelism", "count"),
    ("user", "username"),
    ("on_error", "bad_record"),
];

/// Keys of a section; none when they are the user's own.
pub(super) fn of(section: &str) -> Option<&'static [&'static str]> {
    SECTIONS.iter().find(|(path, _)| *path == section).map(|(_, keys)| *keys)
}

/// What other tools call it → the key here.
pub(super) fn foreign(key: &str) -> Option<&'static str> {
    FOREIGN.iter().find(|(name, _)| *name == key).map(|(_, here)| *here)
}

/// The one section that has this key.
pub(super) fn home(key: &str) -> Option<&'static str> {
    let mut homes = SECTIONS.iter().filter(|(_, keys)| keys.contains(&key)).map(|(path, _)| *path);
    let first = homes.next()?;
    homes.next().is_none().then_some(first)
}
