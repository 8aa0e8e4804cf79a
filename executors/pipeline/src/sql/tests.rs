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
    assert!(refused(format!("SELECT {} AS s FROM input", chain(15_000))).contains("levels deep"));
    assert!(refused(format!("SELECT {} AS s FROM input", chain(40_000))).contains("bytes"));
    assert!(refused(format!("SELECT {} AS s FROM input", chain(30_000))).contains("tokens"));
    assert!(refused(format!("SELECT {}a{} FROM input", "(".repeat(9_000), ")".repeat(9_000))).contains("brackets"));
    assert!(refused(format!("SELECT {}a{} FROM input", "(".repeat(90), ")".repeat(90))).contains("not SQL"));
    let doubled = |levels: usize| {
        let tables = (1..levels).map(|i| format!(", t{i} AS (SELECT a + a AS a FROM t{})", i - 1)).collect::<String>();
        format!("WITH t0 AS (SELECT a FROM input){tables} SELECT a FROM t{}", levels - 1)
    };
    assert!(Transform::compile(&input, &doubled(10)).is_ok());
    assert!(refused(doubled(30)).contains("too large"));
    assert!(refused(doubled(65)).contains("WITH tables"));
}

#[test]
fn what_grows_is_refused_before_it_has_grown() {
    let text = SourceColumn { data_type: millstream_spec::SourceType::Text, ..int("s") };
    let input = [int("a"), text];
    let compiled = |expr: String| {
        Transform::compile(&input, &format!("SELECT {expr} AS x FROM input")).map(drop).map_err(|error| error.message)
    };
    let nested = |open: &str, core: &str, close: &str, levels: usize| {
        format!("{}{core}{}", open.repeat(levels), close.repeat(levels))
    };
    let chain = |term: &str, operator: &str| vec![term; 200].join(operator);
    // The types of each were asked for twice on each level.
    assert_eq!(compiled(chain("s", " || ")), Ok(()));
    assert_eq!(compiled(chain("CAST(a AS double)", " + ")), Ok(()));
    for (expr, why) in [
        (nested("coalesce(", "s", ", '')", 40), "statement is too large"),
        (nested("(", "a = 1", " BETWEEN false AND true)", 40), "statement is too large"),
        (format!("CAST(NULL AS int{})", "[]".repeat(9_000)), "nested more than 8 deep"),
        (format!("CAST(NULL AS {})", nested("STRUCT<x ", "int", ">", 2_000)), "nested more than 8 deep"),
        (format!("arrow_cast(a, '{}')", nested("List(", "Int32", ")", 5_000)), "nested more than 8 deep"),
        (format!("a{}", "['x']".repeat(5_000)), "levels deep"),
        (vec!["a"; 2_001].join(", "), "2001 outputs"),
        (vec!["levenshtein(repeat('a', 1500), repeat('b', 1500))"; 20].join(" + "), "steps"),
        (vec!["length(repeat('a', 60000))"; 200].join(" + "), "take more than"),
        (vec!["regexp_like('a', '((a{100}){100}){100}')"; 30].join(" AND "), "steps"),
        ("lpad('a', 2000000, 'b')".to_owned(), "for a constant"),
    ] {
        let message = compiled(expr).unwrap_err();
        assert!(message.contains(why), "{message}");
    }
    // Each is small, but what is made of them would not be.
    let wide = format!(
        "SELECT concat({}) AS y FROM (SELECT concat({}) AS x FROM input) AS t",
        vec!["x"; 5_000].join(","),
        vec!["s"; 5_000].join(",")
    );
    assert!(Transform::compile(&input, &wide).unwrap_err().message.contains("statement is too large"));
    // The planner looks each column of a level up among those of the level below.
    let stars = |levels: usize| {
        let tables = (1..levels).map(|i| format!(", t{i} AS (SELECT * FROM t{})", i - 1)).collect::<String>();
        let columns = (0..1_000).map(|i| format!("a AS x{i}")).collect::<Vec<_>>().join(", ");
        format!("WITH t0 AS (SELECT {columns} FROM input){tables} SELECT * FROM t{}", levels - 1)
    };
    assert_eq!(Transform::compile(&input, &stars(4)).map(drop), Ok(()));
    assert!(Transform::compile(&input, &stars(40)).unwrap_err().message.contains("outputs"));
}

#[test]
fn a_record_that_would_take_too_long_is_bad() {
    let text = |name| SourceColumn { data_type: millstream_spec::SourceType::Text, ..int(name) };
    let columns = [text("s"), text("t")];
    let long = |c: &str| c.repeat(200_000);
    let needle = format!("{}b", long("a"));
    let records = [("small".to_owned(), "a".to_owned()), (long("a"), needle), ("b".to_owned(), "b".to_owned())];
    let values = records.map(|(s, t)| format!("{{\"s\": \"{s}\", \"t\": \"{t}\"}}"));
    let records: Vec<Record<'_>> = values
        .iter()
        .map(|value| Record {
            partition: 0,
            offset: 0,
            timestamp_ms: None,
            key: None,
            value: Some(value.as_bytes()),
            headers: &[],
        })
        .collect();
    for expr in ["levenshtein(s, t)", "strpos(s, t)", "btrim(s, t)", "regexp_like(s, t)", "s LIKE t", "s ~ t"] {
        let transform = Transform::compile(&columns, &format!("SELECT {expr} AS x FROM input")).unwrap();
        let decoder = Decoder::new("a", &columns, transform.reads(), transform.batch_schema());
        let (evaluated, faults) = transform.evaluate(&decoder.decode(&records).values.batch, true, usize::MAX);
        assert_eq!(evaluated.rows, [0, 2], "{expr}");
        assert_eq!(faults.len(), 1, "{expr}");
        assert_eq!((faults[0].0, faults[0].1.reason), (1, crate::BadReason::TooManySteps), "{expr}");
    }
    // What is written in the SQL is found in long texts as ever.
    let transform =
        Transform::compile(&columns, "SELECT strpos(s, 'aab') AS x, s LIKE '%a_a%' AS y, s ~ '^a+$' AS z FROM input");
    let transform = transform.unwrap();
    let decoder = Decoder::new("a", &columns, transform.reads(), transform.batch_schema());
    let (evaluated, faults) = transform.evaluate(&decoder.decode(&records).values.batch, true, usize::MAX);
    assert_eq!((evaluated.rows.len(), faults.len()), (3, 0));
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
