//! Other clauses and functions, odd texts, and files that are no jobs.

use crate::bomb::{Bomb, columns, file, job, list, nested, sql};

const MIB: usize = 1024 * 1024;

pub(crate) fn bombs() -> Vec<Bomb> {
    [refused(), odd(), types(), files()].into_iter().flatten().collect()
}

/// What SQL knows and a transform does not.
fn refused() -> Vec<Bomb> {
    vec![
        sql(
            "rows: a recursive table",
            "WITH RECURSIVE t AS (SELECT a FROM input UNION ALL SELECT a + 1 FROM t) SELECT a FROM t",
        ),
        sql("rows: generate_series", "SELECT x FROM generate_series(1, 1000000000000) AS t(x)"),
        sql("rows: range as a function", "SELECT range(1, 1000000000000) AS x FROM input"),
        sql("rows: unnest", "SELECT unnest(l) AS x FROM input"),
        sql("rows: a lateral table", "SELECT x FROM input, LATERAL (SELECT a AS x) AS t"),
        sql("rows: CROSS JOIN", format!("SELECT 1 AS x FROM input{}", " CROSS JOIN input".repeat(1_000))),
        sql("rows: tables with commas", format!("SELECT 1 AS x FROM input{}", ", input".repeat(5_000))),
        sql("rows: VALUES", format!("SELECT * FROM (VALUES {}) AS t", list(8_000, ",", |_| "(1)".into()))),
        sql(
            "state: a window function",
            "SELECT sum(a) OVER (ORDER BY a ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS x FROM input",
        ),
        sql("state: GROUPING SETS", "SELECT a FROM input GROUP BY GROUPING SETS ((a), (a, s), (a, s, t))"),
        sql("state: CUBE", format!("SELECT a FROM input GROUP BY CUBE ({})", list(60, ",", |_| "a".into()))),
        sql("chance: random", "SELECT random() AS x FROM input"),
        sql("chance: uuid", "SELECT uuid() AS x FROM input"),
        sql("clock: now", "SELECT now() AS x FROM input"),
        sql("clock: current_timestamp", "SELECT current_timestamp AS x FROM input"),
        sql("another table", "SELECT * FROM information_schema.tables"),
        sql("a file", "COPY input TO '/etc/passwd'"),
        sql("a setting", "SET datafusion.execution.batch_size = 0"),
        sql("several statements", "SELECT a FROM input; DROP TABLE input"),
    ]
}

/// Odd texts.
fn odd() -> Vec<Bomb> {
    vec![
        sql("a text of blanks", " ".repeat(60_000)),
        sql("a comment that does not end", format!("SELECT a /* {} FROM input", "/*".repeat(20_000))),
        sql("comments in comments", nested("/*", "SELECT a FROM input", "*/", 15_000)),
        sql("a quote that does not end", format!("SELECT '{}", "x".repeat(60_000))),
        sql("thousands of quotes", format!("SELECT {} AS x FROM input", "'".repeat(60_000))),
        sql("quoted names", format!("SELECT \"{}\" FROM input", "x".repeat(60_000))),
        sql("dollar quotes", "$a$".repeat(20_000)),
        sql("null bytes", "SELECT a \u{0} FROM input\u{0}"),
        sql("marks that join", format!("SELECT upper('{}') AS x FROM input", "e\u{301}\u{301}\u{301}".repeat(8_000))),
        sql("text from right to left", "SELECT \u{202e}a\u{202c} FROM input"),
        sql(
            "a letter whose upper case is three",
            format!("SELECT {} AS x FROM input", nested("upper(", &format!("'{}'", "\u{390}".repeat(20_000)), ")", 30)),
        ),
        sql("a name near to thousands", format!("SELECT {} FROM input", list(1_900, ",", |i| format!("c{i}")))),
        sql("a function whose name is long", format!("SELECT {}(a) AS x FROM input", "x".repeat(60_000))),
        sql("thousands of lines", format!("SELECT a\n{}FROM input WHERE nothing", "\n".repeat(60_000))),
        sql(
            "more SQL than there may be",
            format!("SELECT a FROM input WHERE a IN ({})", list(200_000, ",", |_| "1".into())),
        ),
    ]
}

/// Types of columns.
fn types() -> Vec<Bomb> {
    let many = |count, ty: &str| list(count, "\n", |i| format!("c{i} = \"{ty}\""));
    let wide = |fields| format!("struct<{}>", list(fields, ", ", |i| format!("x{i} int")));
    vec![
        columns("stack: lists", format!("a = \"{}\"", nested("list<", "int", ">", 100_000))),
        columns("stack: structs", format!("a = \"{}\"", nested("struct<a ", "int", ">", 80_000))),
        columns("stack: maps", format!("a = \"{}\"", nested("map<text, ", "int", ">", 70_000))),
        columns("stack: what is not closed", format!("a = \"{}", "list<".repeat(200_000))),
        columns("width: a struct of many fields", format!("a = \"{}\"", wide(60_000))),
        columns("width: many structs of many fields", many(900, &wide(100))),
        columns("width: thousands of columns", many(40_000, "int")),
        columns(
            "width: as many columns as there may be, of deep types",
            many(1_000, &nested("struct<a ", "int", ">", 7)),
        ),
        columns("a type of one word", format!("a = \"{}\"", "x".repeat(1_000_000))),
        columns("a decimal with many digits", format!("a = \"decimal({}, 2)\"", "9".repeat(500_000))),
        columns(
            "a path of many keys",
            format!("a = {{ type = \"int\", path = \"{}\" }}", list(200_000, ".", |_| "a".into())),
        ),
        columns("names near to each other", list(1_000, "\n", |i| format!("{}{i} = \"itn\"", "c".repeat(200)))),
        columns("a name of a megabyte", format!("{} = \"int\"", "c".repeat(1_000_000))),
    ]
}

/// Files.
fn files() -> Vec<Bomb> {
    let good = job("a = \"int\"", "SELECT a FROM input");
    let with = |more: String| format!("{more}\n{good}");
    vec![
        file("nothing", ""),
        file("more than a file may have", "x".repeat(2 * MIB)),
        file("a megabyte of one comment", format!("#{}", "x".repeat(MIB - 1))),
        file("bytes that are no text", vec![0xff; MIB]),
        file("null bytes", vec![0; MIB]),
        file("stack: arrays", with(format!("x = {}", nested("[", "", "]", 400_000)))),
        file("stack: arrays that do not end", "x = ".to_owned() + &"[".repeat(1_000_000)),
        file("stack: inline tables", with(format!("x = {}", nested("{a = ", "1", "}", 100_000)))),
        file("stack: a key with many dots", with(format!("{} = 1", list(400_000, ".", |_| "a".into())))),
        file(
            "stack: keys with dots",
            with(list(5_000, "\n", |i| format!("x{i}.{} = 1", list(80, ".", |_| "a".into())))),
        ),
        file("stack: a header with many dots", format!("{good}\n[{}]", list(400_000, ".", |_| "a".into()))),
        file("memory: keys by the hundred thousand", with(list(120_000, "\n", |i| format!("k{i} = 1")))),
        file("memory: unknown sections", format!("{good}\n{}", list(100_000, "\n", |i| format!("[k{i}]")))),
        file("memory: tables of an array", format!("{good}\n{}", "[[x]]\n".repeat(170_000))),
        file(
            "memory: a long array where a few are meant",
            good.replace(
                "[\"127.0.0.1:1\"]",
                &format!("[{}]", list(90_000, ",", |i| format!("\"h:{}\"", i % 60_000 + 1))),
            ),
        ),
        file("memory: a long array of nothing", with(format!("x = [{}]", "1,".repeat(500_000)))),
        file("time: a fault in every line", "=\n".repeat(500_000)),
        file("time: faults of the grammar", with("a b c\n".repeat(150_000))),
        file("time: the same key again and again", with("k = 1\n".repeat(150_000))),
        file("time: faults in one long line", format!("x = {}", "\"\" \"\" ".repeat(150_000))),
        file("time: escapes that are none", format!("x = \"{}\"", "\\q".repeat(500_000))),
        file("time: an unknown key of a megabyte", with(format!("{} = 1", "k".repeat(1_000_000)))),
        file("time: unknown keys of a kilobyte", with(list(900, "\n", |i| format!("{}{i} = 1", "k".repeat(1_000))))),
        file(
            "time: unknown options of Kafka",
            format!("{good}\n[source.kafka.options]\n{}", list(40_000, "\n", |i| format!("\"fetch.min.byte{i}\" = 1"))),
        ),
        file("numbers beyond all bounds", with(format!("x = {}\ny = 1e999999999", "9".repeat(500_000)))),
        file("a name of a megabyte", good.replace("\"bomb\"", &format!("\"{}\"", "x".repeat(1_000_000)))),
        file(
            "constraints by the thousand",
            format!("{good}\n[placement]\nconstraints = [{}]", list(20_000, ",", |i| format!("\"rack != r{i}\""))),
        ),
        file(
            "a regex as a constraint",
            format!("{good}\n[placement]\nconstraints = [\"rack ~ ((a{{100}}){{100}}){{100}}\"]"),
        ),
        file("JSON", format!("{{\"a\": {}}}", nested("[", "", "]", 400_000))),
    ]
}
