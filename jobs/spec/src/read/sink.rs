//! `[sink.cassandra]`

mod tls;

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::{
    address,
    entry::{Entry, Section},
    report::Report,
    setting,
};
use crate::{CassandraSink, Consistency, Diagnostic, Nulls, Ttl, units};

/// Cassandra's usual port, for help texts.
const CASSANDRA_PORT: u16 = 9042;

/// Longest keyspace or table name Cassandra takes.
const MAX_NAME: usize = 48;

/// Cassandra's longest time to live: 20 years, in seconds.
const MAX_TTL_SECS: u64 = 630_720_000;

/// Millstream's own tables in each keyspace, that of earlier releases last; only light-weight transactions may touch them.
const OWN_TABLES: [&str; 2] = ["millstream_epochs", "millstream_blocks"];

const CONSISTENCIES: [(&str, Consistency); 8] = [
    ("local_quorum", Consistency::LocalQuorum),
    ("quorum", Consistency::Quorum),
    ("each_quorum", Consistency::EachQuorum),
    ("local_one", Consistency::LocalOne),
    ("one", Consistency::One),
    ("two", Consistency::Two),
    ("three", Consistency::Three),
    ("all", Consistency::All),
];

pub(super) fn read(section: &Section<'_>, r: &mut Report<'_>) -> Option<CassandraSink> {
    section.check_keys(r);
    let contact_points = section
        .required(r, "contact_points", "contact_points = [\"127.0.0.1:9042\"]")
        .and_then(|e| address::list(&e, CASSANDRA_PORT, r));
    let datacenter = section.optionally("datacenter", |e| e.filled_string(r).map(|t| t.value.to_owned()));
    let keyspace = section.required(r, "keyspace", "keyspace = \"demo\"").and_then(|e| keyspace(&e, r));
    let table = section.required(r, "table", "table = \"flights\"").and_then(|e| table(&e, r));
    let consistency = section.optional("consistency").map_or(Some(Consistency::default()), |e| consistency(&e, r));
    let ttl = section.optionally("ttl", |e| ttl(&e, r));
    let nulls = section.optional("nulls").map_or(Some(Nulls::default()), |e| {
        e.choice(r, &[("tombstone", Nulls::Tombstone), ("unset", Nulls::Unset)], None)
    });
    let columns =
        section.optional("columns").map_or(Some(BTreeMap::new()), |e| e.section(r).and_then(|s| columns(&s, r)));
    let username = section.optionally("username", |e| setting::read(&e, false, r));
    let password = section.optionally("password", |e| setting::read(&e, true, r));
    let tls = section.optionally("tls", |e| tls::read(&e, r));
    check_login(section, r);
    check_ttl_column(section, ttl.as_ref(), columns.as_ref(), r);
    Some(CassandraSink {
        contact_points: contact_points?,
        datacenter: datacenter?,
        keyspace: keyspace?,
        table: table?,
        consistency: consistency?,
        ttl: ttl?,
        nulls: nulls?,
        columns: columns?,
        username: username?,
        password: password?,
        tls: tls?,
    })
}

fn name<'d>(entry: &Entry<'d>, what: &str, r: &mut Report<'_>) -> Option<&'d str> {
    let text = entry.string(r)?;
    let fits = (1..=MAX_NAME).contains(&text.value.len())
        && text.value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if fits {
        return Some(text.value);
    }
    let error = Diagnostic::error(text.span.clone(), format!("this is not the name of a {what}"));
    r.push(match text.value.split_once('.') {
        Some((keyspace, table)) if what == "table" => {
            error.help(format!("write `keyspace = \"{keyspace}\"` and `table = \"{table}\"`"))
        }
        _ => error.help(format!(
            "Cassandra takes 1 to {MAX_NAME} of a-z, A-Z, 0-9 and `_`; write it without quotation marks of its own"
        )),
    });
    None
}

fn keyspace(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<String> {
    let keyspace = name(entry, "keyspace", r)?;
    let lower = keyspace.to_ascii_lowercase();
    if lower == "system" || lower.starts_with("system_") {
        r.push(
            Diagnostic::error(entry.span(), format!("`{keyspace}` is a keyspace of Cassandra itself"))
                .note("Millstream keeps its table of timestamp blocks beside the table it writes")
                .help("make a keyspace for the job: `CREATE KEYSPACE … WITH replication = …`"),
        );
        return None;
    }
    Some(keyspace.to_owned())
}

fn table(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<String> {
    let table = name(entry, "table", r)?;
    if OWN_TABLES.contains(&table) {
        r.push(
            Diagnostic::error(entry.span(), format!("`{table}` is Millstream's own table"))
                .note("it holds the timestamp blocks of all jobs of the keyspace")
                .help("name the table the job's rows belong in"),
        );
        return None;
    }
    Some(table.to_owned())
}

fn consistency(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<Consistency> {
    let refused = match entry.value().as_str().map(str::to_ascii_lowercase).as_deref() {
        Some("any") => Some("a write that only a hint holds is not durable, so its offset could not be committed"),
        Some("serial" | "local_serial") => {
            Some("it is a level of light-weight transactions, which sink tables do not see")
        }
        _ => None,
    };
    if let Some(why) = refused {
        r.push(
            Diagnostic::error(entry.span(), "rows cannot be written at this consistency")
                .note(why)
                .help("write \"local_quorum\""),
        );
        return None;
    }
    let consistency = entry.choice(r, &CONSISTENCIES, None)?;
    if matches!(consistency, Consistency::One | Consistency::LocalOne) {
        r.push(
            Diagnostic::warning(entry.span(), "one replica alone may hold a row whose offset is committed")
                .note("if that replica is lost before the others have the row, the row is lost")
                .help("write \"local_quorum\", unless the keyspace has one replica only"),
        );
    }
    Some(consistency)
}

fn ttl(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<Ttl> {
    const HELP: &str =
        "write a duration, as in \"30d\", or `{ column = \"ttl_secs\" }` for a column of the SQL that holds seconds";
    match entry.value() {
        DeValue::Table(_) => {
            let table = entry.section(r)?;
            table.check_keys(r);
            let column = table.required(r, "column", "ttl = { column = \"ttl_secs\" }")?.filled_string(r)?;
            return Some(Ttl::Column(column.value.to_owned()));
        }
        DeValue::String(_) => {}
        DeValue::Integer(i) => {
            return entry.wrong_type(r, "a duration with its unit", &format!("write \"{}s\" for seconds", i.as_str()));
        }
        _ => return entry.wrong_type(r, "a duration or a table", HELP),
    }
    let text = entry.string(r)?;
    let duration_ms = match units::parse_duration_ms(text.value) {
        Ok(ms) => ms,
        Err(e) => {
            r.push(Diagnostic::error(text.part(r, e.at), e.message).help(HELP));
            return None;
        }
    };
    let secs = duration_ms / 1_000;
    if duration_ms % 1_000 != 0 || !(1..=MAX_TTL_SECS).contains(&secs) {
        r.push(
            Diagnostic::error(text.span, "this cannot be a time to live")
                .note("Cassandra counts it in whole seconds, from 1 second to 20 years (7300d)")
                .help("leave `ttl` out if rows shall stay"),
        );
        return None;
    }
    // At most MAX_TTL_SECS, so it fits.
    Some(Ttl::Secs(secs as u32))
}

fn columns(section: &Section<'_>, r: &mut Report<'_>) -> Option<BTreeMap<String, String>> {
    let entries = section.all();
    let mut columns = BTreeMap::new();
    for entry in &entries {
        if let Some(text) = entry.filled_string(r) {
            columns.insert(entry.name(section).to_owned(), text.value.to_owned());
        }
    }
    (columns.len() == entries.len()).then_some(columns)
}

fn check_login(section: &Section<'_>, r: &mut Report<'_>) {
    let (there, missing, example) = match (section.optional("username"), section.optional("password")) {
        (Some(user), None) => (user, "password", "password = { env = \"CASSANDRA_PASSWORD\" }"),
        (None, Some(password)) => (password, "username", "username = \"millstream\""),
        _ => return,
    };
    if section.is_misspelt(missing) {
        return;
    }
    r.push(
        Diagnostic::error(there.key.clone(), format!("there is no `{missing}` beside it"))
            .note("Cassandra's login needs both")
            .help(format!("add `{example}`")),
    );
}

fn check_ttl_column(
    section: &Section<'_>,
    ttl: Option<&Option<Ttl>>,
    columns: Option<&BTreeMap<String, String>>,
    r: &mut Report<'_>,
) {
    let (Some(Some(Ttl::Column(ttl))), Some(columns)) = (ttl, columns) else { return };
    let Some((table_column, _)) = columns.iter().find(|(_, output)| *output == ttl) else { return };
    let entry = section.optional("columns").and_then(|e| e.section(r)).and_then(|s| s.optional(table_column));
    let span = entry.map_or_else(|| section.span(), |e| e.span());
    r.push(
        Diagnostic::error(span, format!("the output column `{ttl}` is the time to live and cannot be written as well"))
            .help(format!("select it a second time under another name, as in `{ttl} AS kept_secs`")),
    );
}
