//! Statements that are deep, wide, or grow when they are planned.

use crate::bomb::{Bomb, Bomb as B, list, nested, sql};

pub(crate) fn bombs() -> Vec<Bomb> {
    let select = |attacks, expr: String| sql(attacks, format!("SELECT a, {expr} AS x FROM input"));
    let filter = |attacks, test: String| sql(attacks, format!("SELECT a FROM input WHERE {test}"));
    vec![
        select("stack: parentheses", nested("(", "a", ")", 15_000)),
        select("stack: brackets", nested("[", "a", "]", 15_000)),
        select("stack: braces", nested("{", "a", "}", 15_000)),
        filter("stack: NOT", format!("{}b", "NOT ".repeat(16_000))),
        select("stack: minus", format!("{}a", "- ".repeat(15_000))),
        select("stack: plus and minus without blanks", format!("{}a", "-+".repeat(15_000))),
        select("stack: CASE in CASE", nested("CASE WHEN b THEN ", "a", " ELSE 0 END", 2_000)),
        select("stack: CASE in ELSE", nested("CASE WHEN b THEN 0 ELSE ", "a", " END", 2_000)),
        select("stack: functions", nested("abs(", "a", ")", 12_000)),
        select("stack: as deep as the parser goes", nested("abs(", "a", ")", 45)),
        filter("stack: OR", list(9_000, " OR ", |_| "b".into())),
        filter("stack: AND", list(10_000, " AND ", |i| format!("a>{i}"))),
        filter("stack: IS NULL", format!("a{}", " IS NULL".repeat(7_000))),
        filter("stack: comparisons", list(15_000, "=", |_| "b".into())),
        select("stack: casts of casts", format!("a{}", "::int".repeat(12_000))),
        select("stack: casts of casts within the limit", format!("a{}", "::bigint::int".repeat(110))),
        select("stack: fields of fields", format!("st{}", "['x']".repeat(12_000))),
        select("stack: fields with dots", format!("input.st{}", ".x".repeat(15_000))),
        select("stack: items of items", format!("l{}", "[1]".repeat(10_000))),
        select("stack: JSON paths", format!("m:a{}", ".a".repeat(15_000))),
        select("stack: AT TIME ZONE", format!("ts{}", " AT TIME ZONE 'UTC'".repeat(3_000))),
        select("stack: COLLATE", format!("s{}", " COLLATE x".repeat(5_000))),
        select("stack: types with brackets", format!("CAST(a AS int{})", "[]".repeat(15_000))),
        select("stack: types with brackets, fewer", format!("CAST(NULL AS int{})", "[]".repeat(2_000))),
        select("stack: ARRAY types", format!("CAST(a AS {})", nested("ARRAY<", "int", ">", 9_000))),
        select("stack: STRUCT types", format!("CAST(a AS {})", nested("STRUCT<x ", "int", ">", 5_000))),
        select("stack: struct types in parentheses", format!("CAST(a AS {})", nested("STRUCT(x ", "int", ")", 5_000))),
        select("stack: Nullable types", format!("CAST(a AS {})", nested("Nullable(", "int", ")", 5_000))),
        select("stack: Map types", format!("CAST(a AS {})", nested("MAP(text, ", "int", ")", 5_000))),
        select("stack: types of Arrow", format!("arrow_cast(a, '{}')", nested("List(", "Int32", ")", 10_000))),
        select(
            "stack: dictionaries of Arrow",
            format!("arrow_cast(a, '{}')", nested("Dictionary(Int8, ", "Utf8", ")", 3_000)),
        ),
        select(
            "memory: a wide struct type",
            format!("CAST(st AS STRUCT<{}>)", list(5_000, ", ", |i| format!("x{i} int"))),
        ),
        select(
            "time: struct types in struct types",
            format!("CAST(NULL AS {})", nested("STRUCT<x int, y ", "int", ">", 40)),
        ),
        select("growth: coalesce doubles what it is given", nested("coalesce(", "s", ", t)", 45)),
        select("growth: nvl2 takes its arguments twice", nested("nvl2(", "s", ", s, t)", 45)),
        select("growth: nullif", nested("nullif(", "s", ", t)", 45)),
        select("growth: nvl", nested("nvl(", "s", ", t)", 45)),
        filter("growth: BETWEEN takes its value twice", nested("(", "b", " BETWEEN false AND true)", 45)),
        select("growth: types of a chain of ||", list(200, " || ", |_| "s".into())),
        select("growth: types of a chain of floats", list(200, " + ", |_| "d".into())),
        select("growth: types of a chain of casts and floats", nested("CAST(", "d", " + d AS double)", 45)),
        filter("growth: IS DISTINCT FROM", nested("(", "b", " IS DISTINCT FROM true)", 45)),
        select("growth: greatest", nested("greatest(", "a", ", a, a)", 45)),
        select("growth: date_part of date_trunc", nested("date_trunc('day', ", "ts", ")", 45)),
        sql("growth: WITH tables that double", doubled(60)),
        sql("growth: WITH tables that double a large constant", large_doubled()),
        sql("growth: WITH tables that double within the limits", doubled(12)),
        sql("growth: a wide expression in a wide expression", wide_in_wide()),
        sql("growth: a wide expression under many names", wide_named()),
        sql("growth: `*` over WITH tables", stars()),
        sql("growth: more WITH tables than there may be", doubled(1_000)),
        sql("stack: sub-selects", format!("SELECT a FROM {}", nested("(SELECT a FROM ", "input", ")", 3_000))),
        sql("stack: tables in parentheses", format!("SELECT a FROM {}", nested("(", "input", ")", 15_000))),
        sql("stack: WITH in WITH", nested("WITH t AS (", "SELECT a FROM input", ") SELECT a FROM t", 1_500)),
        sql("stack: EXPLAIN", format!("{}SELECT a FROM input", "EXPLAIN ".repeat(8_000))),
        sql("stack: UNION", list(2_500, " UNION ALL ", |_| "SELECT a FROM input".into())),
        sql("stack: joins", format!("SELECT a FROM input{}", " JOIN input".repeat(5_000))),
        sql("stack: blocks of a procedure", format!("CREATE PROCEDURE p AS {}", "BEGIN ".repeat(10_000))),
        sql("stack: IF of a procedure", "IF a THEN ".repeat(6_000)),
        sql(
            "stack: MATCH_RECOGNIZE",
            format!("SELECT a FROM input MATCH_RECOGNIZE(PATTERN ({}))", nested("(", "a", ")", 15_000)),
        ),
        sql(
            "stack: grouping sets",
            format!("SELECT a FROM input GROUP BY GROUPING SETS ({})", nested("(", "a", ")", 15_000)),
        ),
        sql("stack: PIVOT", format!("SELECT a FROM input{}", " PIVOT(max(a) FOR a IN (1))".repeat(2_000))),
        sql("stack: lambdas", format!("SELECT {} AS x FROM input", nested("f(y -> ", "a", ")", 8_000))),
        sql("stack: intervals", format!("SELECT {} AS x FROM input", "INTERVAL ".repeat(7_000))),
        filter("width: IN with many numbers", format!("a IN ({})", list(15_000, ",", |_| "1".into()))),
        filter("width: IN with many texts", format!("s IN ({})", list(8_000, ",", |i| format!("'{i}'")))),
        filter("width: IN with expressions", format!("a IN ({})", list(8_000, ",", |_| "a+1".into()))),
        filter("width: IN with lists of columns", format!("(a, a) IN ({})", list(5_000, ",", |_| "(1,1)".into()))),
        select(
            "width: CASE with many branches",
            format!("CASE a {} END", list(3_000, " ", |i| format!("WHEN {i} THEN {i}"))),
        ),
        select(
            "width: CASE with many tests",
            format!("CASE {} END", list(2_500, " ", |i| format!("WHEN a>{i} THEN {i}"))),
        ),
        select("width: coalesce of many", format!("coalesce({})", list(15_000, ",", |_| "a".into()))),
        select("width: concat of many", format!("concat({})", list(15_000, ",", |_| "s".into()))),
        select("width: greatest of many", format!("greatest({})", list(15_000, ",", |_| "a".into()))),
        select("width: struct of many", format!("struct({})", list(15_000, ",", |_| "a".into()))),
        select("width: a list of many", format!("[{}]", list(15_000, ",", |_| "a".into()))),
        sql("width: thousands of outputs", format!("SELECT {} FROM input", list(8_000, ",", |i| format!("a x{i}")))),
        sql(
            "width: thousands of outputs of one name",
            format!("SELECT {} FROM input", list(1_999, ",", |_| "a".into())),
        ),
        sql("width: `*` thousands of times", format!("SELECT {} FROM input", list(15_000, ",", |_| "*".into()))),
        sql(
            "width: `*` without many columns",
            format!("SELECT * EXCEPT ({}) FROM input", list(9_000, ",", |i| format!("c{i}"))),
        ),
        sql("width: aliases that refer to each other", aliases()),
        sql("width: statements", "SELECT a FROM input;".repeat(3_000)),
        sql("width: words that may be columns", format!("SELECT {} FROM input", list(64, ", ", |_| "a order".into()))),
        words(),
    ]
}

/// Each table twice the one below.
fn doubled(levels: usize) -> String {
    let tables = list(levels - 1, "", |i| format!(", t{} AS (SELECT a + a AS a FROM t{i})", i + 1));
    format!("WITH t0 AS (SELECT a FROM input){tables} SELECT a FROM t{}", levels - 1)
}

fn large_doubled() -> String {
    let tables = list(13, "", |i| format!(", t{} AS (SELECT concat(x, x) AS x FROM t{i})", i + 1));
    format!("WITH t0 AS (SELECT concat(s, '{}') AS x FROM input){tables} SELECT x FROM t13", "x".repeat(60_000))
}

fn wide_in_wide() -> String {
    let (below, above) = (list(9_000, ",", |_| "s".into()), list(10_000, ",", |_| "x".into()));
    format!("SELECT concat({above}) AS y FROM (SELECT concat({below}) AS x FROM input) AS t")
}

fn wide_named() -> String {
    let (below, above) = (list(12_000, ",", |_| "s".into()), list(1_900, ",", |i| format!("x y{i}")));
    format!("SELECT {above} FROM (SELECT concat({below}) AS x FROM input) AS t")
}

fn stars() -> String {
    let tables = list(63, "", |i| format!(", t{} AS (SELECT * FROM t{i})", i + 1));
    let wide = list(1_900, ",", |i| format!("a x{i}"));
    format!("WITH t0 AS (SELECT {wide} FROM input){tables} SELECT * FROM t63")
}

fn aliases() -> String {
    format!("SELECT a AS x0, {} FROM input", list(3_000, ", ", |i| format!("x{i} + x{i} AS x{}", i + 1)))
}

/// The search for words to quote compiles again and again.
fn words() -> B {
    let wide = list(5_000, ",", |i| format!("a x{i}"));
    let columns = "a = \"int\"\norder = \"int\"\nuser = \"int\"\n";
    let sql = format!("SELECT {wide}, {} FROM input WHERE nothing", list(60, ", ", |_| "order".into()));
    B { attacks: "time: reserved words as columns", body: crate::bomb::job(columns, &sql).into_bytes() }
}
