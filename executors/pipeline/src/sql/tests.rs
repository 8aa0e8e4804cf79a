//! One text file per case under `tests/sql`, its outcome a snapshot beside it.
//!
//! A case begins with `-- column: NAME TYPE` and `-- record: JSON` lines (`-- key: TEXT` and `-- header: NAME=TEXT`
//! before a record belong to it; `-- record:` alone is one without value); the rest is the SQL.

use std::{fmt::Write as _, fs, path::Path};

use arrow::{
    array::ArrayRef,
    util::display::{ArrayFormatter, FormatOptions},
};
use millstream_spec::{SourceColumn, types};

use super::{CompileError, Transform, type_name};
use crate::{Header, Record, decode::Decoder};

fn int(name: &str) -> SourceColumn {
    SourceColumn {
        name: name.to_owned(),
        data_type: millstream_spec::SourceType::Int,
        path: vec![name.to_owned()],
        required: false,
        precision: Default::default(),
    }
}

#[test]
fn literals_are_no_columns() {
    let columns = ["k", "null", "true"].map(int);
    let refused = |sql: &str| Transform::compile(&columns, sql).err().map(|error| error.help.unwrap_or_default());
    assert_eq!(refused("SELECT k, NULL FROM input").as_deref(), Some("write SELECT k, \"null\" FROM input"));
    assert_eq!(refused("SELECT true, k FROM input").as_deref(), Some("write SELECT \"true\", k FROM input"));
    assert_eq!(refused("SELECT k, \"null\", coalesce(\"true\", NULL, 1) AS c, NULL AS d FROM input WHERE true"), None);
}

#[test]
fn cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    assert!(files.len() >= 60, "only {} cases", files.len());
    insta::with_settings!({ snapshot_path => &folder, prepend_module_to_snapshot => false, omit_expression => true }, {
        for file in files {
            let case = Case::parse(&fs::read_to_string(&file).unwrap());
            insta::assert_snapshot!(file.file_stem().unwrap().to_str().unwrap(), case.outcome());
        }
    });
}

#[test]
fn long_chains_are_refused_instead_of_overflowing_the_stack() {
    let input = [int("a")];
    let refused = |sql: String| Transform::compile(&input, &sql).unwrap_err().message;
    let chain = |terms: usize| vec!["a"; terms].join("+");
    assert!(Transform::compile(&input, &format!("SELECT {} AS s FROM input", chain(200))).is_ok());
    assert!(refused(format!("SELECT {} AS s FROM input", chain(30_000))).contains("levels deep"));
    assert!(refused(format!("SELECT {} AS s FROM input", chain(40_000))).contains("bytes"));
    assert!(refused(format!("SELECT {}a{} FROM input", "(".repeat(9_000), ")".repeat(9_000))).contains("not SQL"));
    let doubled = |levels: usize| {
        let tables = (1..levels).map(|i| format!(", t{i} AS (SELECT a + a AS a FROM t{})", i - 1)).collect::<String>();
        format!("WITH t0 AS (SELECT a FROM input){tables} SELECT a FROM t{}", levels - 1)
    };
    assert!(Transform::compile(&input, &doubled(10)).is_ok());
    assert!(refused(doubled(30)).contains("too large"));
    assert!(refused(doubled(65)).contains("WITH tables"));
}

#[derive(Default)]
struct Case {
    columns: Vec<SourceColumn>,
    records: Vec<CaseRecord>,
    sql: String,
}

#[derive(Default)]
struct CaseRecord {
    key: Option<String>,
    headers: Vec<(String, String)>,
    value: Option<String>,
}

impl Case {
    fn parse(text: &str) -> Case {
        let (mut case, mut record) = (Case::default(), CaseRecord::default());
        for line in text.lines() {
            if let Some(column) = line.strip_prefix("-- column: ") {
                let (name, ty) = column.split_once(' ').unwrap();
                let path = vec![name.to_owned()];
                case.columns.push(SourceColumn {
                    name: name.to_owned(),
                    data_type: types::parse(ty).unwrap(),
                    path,
                    required: false,
                    precision: Default::default(),
                });
            } else if let Some(key) = line.strip_prefix("-- key: ") {
                record.key = Some(key.to_owned());
            } else if let Some(header) = line.strip_prefix("-- header: ") {
                let (name, value) = header.split_once('=').unwrap();
                record.headers.push((name.to_owned(), value.to_owned()));
            } else if let Some(value) = line.strip_prefix("-- record:") {
                record.value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
                case.records.push(std::mem::take(&mut record));
            } else if !line.is_empty() {
                writeln!(case.sql, "{line}").unwrap();
            }
        }
        case.sql.truncate(case.sql.trim_end().len());
        case
    }

    fn outcome(&self) -> String {
        match Transform::compile(&self.columns, &self.sql) {
            Ok(transform) => self.rows(&transform),
            Err(error) => self.refusal(&error),
        }
    }

    /// The error under the SQL, as a person would see it.
    fn refusal(&self, error: &CompileError) -> String {
        let mut text = format!("refused: {}\n", error.message);
        let mut start = 0;
        for line in self.sql.split_inclusive('\n') {
            let end = start + line.len();
            if let Some(span) = error.span.clone().filter(|span| (start..end).contains(&span.start)) {
                let before = self.sql[start..span.start].chars().count();
                let marked = self.sql[span.start..span.end.min(end)].chars().count().max(1);
                writeln!(text, "  {}\n  {}{}", line.trim_end(), " ".repeat(before), "^".repeat(marked)).unwrap();
            }
            start = end;
        }
        if let Some(help) = &error.help {
            writeln!(text, "help: {help}").unwrap();
        }
        text
    }

    fn rows(&self, transform: &Transform) -> String {
        let headers: Vec<Vec<Header<'_>>> = self.records.iter().map(CaseRecord::headers).collect();
        let records: Vec<Record<'_>> = self
            .records
            .iter()
            .zip(&headers)
            .enumerate()
            .map(|(i, (record, headers))| record.record(i, headers))
            .collect();
        let decoder = Decoder::new("flights", &self.columns, transform.reads(), transform.batch_schema());
        let decoded = decoder.decode(&records);
        let mut lines = vec!["filtered".to_owned(); records.len()];
        for bad in &decoded.bad {
            lines[bad.index] = format!("bad, {}: {}", bad.reason, bad.detail);
        }
        for (batch, filtered) in [(&decoded.values, true), (&decoded.tombstones, false)] {
            let (evaluated, faults) = transform.evaluate(&batch.batch, filtered, usize::MAX);
            for (row, fault) in faults {
                lines[batch.records[row as usize] as usize] = format!("bad, {}: {}", fault.reason, fault.detail);
            }
            for (slot, row) in evaluated.rows.iter().enumerate() {
                let values: Vec<String> = evaluated.columns.iter().map(|column| shown(column, slot)).collect();
                lines[batch.records[*row as usize] as usize] = values.join(" | ");
            }
        }
        let fields = transform.output_schema().fields().iter();
        let names: Vec<_> = fields.map(|field| format!("{} {}", field.name(), type_name(field.data_type()))).collect();
        let mut text = format!("{}\n", names.join(" | "));
        for (index, line) in lines.iter().enumerate() {
            writeln!(text, "{index}: {line}").unwrap();
        }
        text
    }
}

impl CaseRecord {
    fn headers(&self) -> Vec<Header<'_>> {
        self.headers.iter().map(|(name, value)| Header { name, value: Some(value.as_bytes()) }).collect()
    }

    fn record<'a>(&'a self, index: usize, headers: &'a [Header<'a>]) -> Record<'a> {
        Record {
            partition: 3,
            offset: 100 + index as i64,
            timestamp_ms: Some(1_357_016_400_000),
            key: self.key.as_deref().map(str::as_bytes),
            value: self.value.as_deref().map(str::as_bytes),
            headers,
        }
    }
}

fn shown(column: &ArrayRef, row: usize) -> String {
    let options = FormatOptions::new().with_null("NULL");
    ArrayFormatter::try_new(column, &options).unwrap().value(row).to_string()
}
