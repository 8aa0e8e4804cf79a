//! What a stranger sends: a body, and what it attacks.

/// One bomb.
pub(crate) struct Bomb {
    /// What it attacks.
    pub(crate) attacks: &'static str,
    /// The body of the request: a job file, mostly.
    pub(crate) body: Vec<u8>,
}

/// A bomb in the SQL of an otherwise good job.
pub(crate) fn sql(attacks: &'static str, sql: impl AsRef<str>) -> Bomb {
    Bomb { attacks, body: job(COLUMNS, sql.as_ref()).into_bytes() }
}

/// A bomb in the columns of an otherwise good job.
pub(crate) fn columns(attacks: &'static str, columns: impl AsRef<str>) -> Bomb {
    Bomb { attacks, body: job(columns.as_ref(), "SELECT * FROM input").into_bytes() }
}

/// A bomb in the file itself.
pub(crate) fn file(attacks: &'static str, body: impl Into<Vec<u8>>) -> Bomb {
    Bomb { attacks, body: body.into() }
}

const COLUMNS: &str = "a = \"int\"\nd = \"double\"\ns = \"text\"\nt = \"text\"\nts = \"timestamp\"\nb = \"boolean\"\n\
    dec = \"decimal(38, 10)\"\nst = \"struct<x int, y text>\"\nm = \"map<text, text>\"\nl = \"list<int>\"\n";

/// A job whose Kafka and Cassandra nobody is.
pub(crate) fn job(columns: &str, sql: &str) -> String {
    // A JSON string is a TOML string.
    let sql = serde_json::to_string(sql).expect("a string");
    format!(
        "name = \"bomb\"\n[source.kafka]\nbootstrap = [\"127.0.0.1:1\"]\ntopic = \"a\"\n[source.columns]\n{columns}\n\
         [transform]\nsql = {sql}\n[sink.cassandra]\ncontact_points = [\"127.0.0.1:1\"]\nkeyspace = \"k\"\ntable = \"t\"\n"
    )
}

/// `part` nested in itself: `open` and `close` around `core`, `levels` times.
pub(crate) fn nested(open: &str, core: &str, close: &str, levels: usize) -> String {
    format!("{}{core}{}", open.repeat(levels), close.repeat(levels))
}

/// What `item` makes of 0, 1, 2, …, with `separator` between.
pub(crate) fn list(count: usize, separator: &str, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(separator)
}
