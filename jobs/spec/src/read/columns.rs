//! `[source.columns]`

use toml::de::DeValue;

use super::{
    entry::{Entry, Section, Text},
    report::Report,
};
use crate::{Diagnostic, Precision, SourceColumn, SourceType, suggest, types};

/// Most columns: each costs every record a look-up.
const MAX_COLUMNS: usize = 1_000;

/// Deepest path into a record.
const MAX_PATH: usize = 16;

/// Longest column name: Cassandra's own limit for names of columns that become files.
const MAX_NAME: usize = 222;

const TYPES: &str =
    "write a type, as in `int`, `decimal(10, 2)`, `list<text>`, `map<text, int>` or `struct<a int, b text>`";

const KEYS: [&str; 4] = ["type", "path", "required", "precision"];

/// What `path` as a string cannot begin with: it would read as the record's own column, and a path leads into its value.
const METADATA: [&str; 7] = ["_topic", "_partition", "_offset", "_timestamp", "_key", "_key_bytes", "_headers"];

pub(super) fn read(section: &Section<'_>, r: &mut Report<'_>) -> Option<Vec<SourceColumn>> {
    let entries = section.all();
    if entries.is_empty() || entries.len() > MAX_COLUMNS {
        let what = format!("[source.columns] should name 1 to {MAX_COLUMNS} columns");
        r.push(
            Diagnostic::error(section.span(), what)
                .help("name the JSON fields the SQL uses, with their types, as in `year = \"int\"`"),
        );
        return None;
    }
    let columns: Vec<_> = entries.iter().filter_map(|e| column(e.name(section), e, r)).collect();
    (columns.len() == entries.len()).then_some(columns)
}

fn column(name: &str, entry: &Entry<'_>, r: &mut Report<'_>) -> Option<SourceColumn> {
    let named = check_name(name, entry, r);
    let column = match entry.value() {
        DeValue::String(_) => plain(name, entry, r),
        DeValue::Table(_) => detailed(name, entry, r),
        _ => entry.wrong_type(
            r,
            "a type or a table",
            "write `\"int\"`, or `{ type = \"int\", path = \"a.b\", required = true }`",
        ),
    };
    named.and(column)
}

fn check_name(name: &str, entry: &Entry<'_>, r: &mut Report<'_>) -> Option<()> {
    let error = if name.starts_with('_') {
        Diagnostic::error(entry.key.clone(), "names of source columns do not begin with `_`")
            .note("`_topic`, `_partition`, `_offset`, `_timestamp`, `_key`, `_key_bytes` and `_headers` are the record's own and always there")
            .help(format!("choose another name and say where it is read from: `{} = {{ type = \"…\", path = [\"{name}\"] }}`", name.trim_start_matches('_')))
    } else if name.is_empty() || name.len() > MAX_NAME || name.contains(|c: char| c.is_control() || c == '"') {
        Diagnostic::error(entry.key.clone(), "this cannot be the name of a column")
            .help(format!("use 1 to {MAX_NAME} printable characters without quotation marks"))
    } else {
        return Some(());
    };
    r.push(error);
    None
}

fn plain(name: &str, entry: &Entry<'_>, r: &mut Report<'_>) -> Option<SourceColumn> {
    let data_type = data_type(&entry.string(r)?, r)?;
    let path = vec![name.to_owned()];
    Some(SourceColumn { name: name.to_owned(), data_type, path, required: false, precision: Precision::Exact })
}

fn detailed(name: &str, entry: &Entry<'_>, r: &mut Report<'_>) -> Option<SourceColumn> {
    let table = entry.section(r)?;
    let mut known = Some(());
    for field in table.all() {
        let key = field.name(&table);
        if !KEYS.contains(&key) {
            let error = Diagnostic::error(field.key.clone(), format!("unknown key `{key}` for a column"));
            r.push(match suggest::nearest(key, KEYS) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error
                    .help(format!("known keys are {}", KEYS.join(", ")))
                    .help("for a nested JSON field write `path = \"a.b\"`"),
            });
            known = None;
        }
    }
    let data_type =
        table.required(r, "type", "type = \"int\"").and_then(|e| e.string(r)).and_then(|t| data_type(&t, r));
    let path = table.optional("path").map_or_else(|| Some(vec![name.to_owned()]), |e| path(&e, r));
    let required = match table.optional("required").map(|e| (e.value().as_bool(), e)) {
        None => Some(false),
        Some((Some(required), _)) => Some(required),
        Some((None, e)) => e.wrong_type(r, "true or false", "write `required = true`, without quotation marks"),
    };
    let precision =
        table.optional("precision").map_or(Some(Precision::Exact), |e| precision(&e, data_type.as_ref(), r));
    known?;
    Some(SourceColumn {
        name: name.to_owned(),
        data_type: data_type?,
        path: path?,
        required: required?,
        precision: precision?,
    })
}

fn precision(entry: &Entry<'_>, data_type: Option<&SourceType>, r: &mut Report<'_>) -> Option<Precision> {
    const FORMS: &str =
        "write `precision = \"truncate\"` to cut off what is finer than the column holds, or leave it out";
    let text = entry.string(r)?;
    let precision = match text.value {
        "exact" => Precision::Exact,
        "truncate" => Precision::Truncate,
        other => {
            r.push(Diagnostic::error(text.span, format!("`{other}` is no precision")).help(FORMS));
            return None;
        }
    };
    if data_type.is_some_and(|ty| !ty.has_clock()) {
        let error = Diagnostic::error(text.span, "only timestamps and times have a precision");
        r.push(error.help("remove the key, or round in the SQL"));
        return None;
    }
    Some(precision)
}

fn data_type(text: &Text<'_>, r: &mut Report<'_>) -> Option<SourceType> {
    types::parse(text.value)
        .map_err(|e| {
            let error = Diagnostic::error(text.part(r, e.at), e.message);
            r.push(error.help(e.help.as_deref().unwrap_or(TYPES)));
        })
        .ok()
}

fn path(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<Vec<String>> {
    let keys: Vec<String> = match entry.value() {
        DeValue::String(text) => {
            let keys: Vec<String> = text.split('.').map(str::to_owned).collect();
            if let Some(own) = METADATA.iter().find(|name| **name == keys[0]) {
                r.push(own_column(own, &keys, entry));
                return None;
            }
            keys
        }
        DeValue::Array(_) => {
            let items = entry.array(r, "[\"a\", \"b\"]")?;
            items.iter().map(|i| i.string(r).map(|t| t.value.to_owned())).collect::<Option<_>>()?
        }
        _ => {
            return entry.wrong_type(
                r,
                "a string or an array of strings",
                "write `path = \"a.b\"`, or `path = [\"a.b\", \"c\"]` when a key has a dot",
            );
        }
    };
    if keys.is_empty() || keys.len() > MAX_PATH || keys.iter().any(String::is_empty) {
        r.push(
            Diagnostic::error(entry.span(), format!("a path has 1 to {MAX_PATH} keys, none of them empty"))
                .help("write the keys of the nested JSON objects with dots between them, as in \"a.b\"")
                .help("a key that has a dot itself: `path = [\"a.b\", \"c\"]`"),
        );
        return None;
    }
    Some(keys)
}

/// `path = "_key.id"`: no such path, since paths lead into the record's value.
fn own_column(own: &str, keys: &[String], entry: &Entry<'_>) -> Diagnostic {
    let quoted: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
    Diagnostic::error(entry.span(), format!("a path leads into the record's value, and `{own}` is not in it"))
        .note(format!("`{own}` is the record's own column, always there in the SQL without being declared"))
        .help(format!("use `{own}` in the SQL and take what you need from it there, as in `split_part(_key, ':', 1)`"))
        .help(format!("if the value has a field of this name: `path = [{}]`", quoted.join(", ")))
}
