//! Constants that are dear to compute, or large.

use crate::bomb::{Bomb, list, nested, sql};

pub(crate) fn bombs() -> Vec<Bomb> {
    let select = |attacks, expr: String| sql(attacks, format!("SELECT a, {expr} AS x FROM input"));
    let many = |attacks, count, expr: &str| {
        sql(attacks, format!("SELECT {} FROM input", list(count, ", ", |i| format!("{expr} AS x{i}"))))
    };
    vec![
        many("memory: what took the scheduler down", 30, "repeat('x', 1000000000)"),
        many("memory: each below the limit of a row, all of them not", 1_000, "repeat('x', 16000000)"),
        many("memory: each below the limit of a constant, all of them not", 1_800, "repeat('x', 65000)"),
        select(
            "memory: a negative count, and the largest",
            "repeat('x', -9223372036854775808) || repeat('y', 9223372036854775807)".into(),
        ),
        select("memory: repeats of repeats", nested("repeat(", "'x'", ", 10)", 40)),
        select(
            "memory: a text doubled again and again",
            (0..40).fold("repeat('x', 1000)".to_owned(), |x, _| format!("replace({x}, 'x', 'xx')")),
        ),
        select(
            "memory: an empty pattern between all characters",
            "replace(repeat('x', 60000), '', repeat('y', 60000))".into(),
        ),
        select("memory: lpad", "lpad('x', 2147483647, 'é')".into()),
        select("memory: rpad of a rpad", nested("rpad(", "'x'", ", 16000000)", 20)),
        many("time: graphemes of a long padding", 1_000, "lpad('x', 16000000, 'é')"),
        select(
            "time: edit distance, steps are a product",
            "levenshtein(repeat('a', 65000), repeat('b', 65000))".into(),
        ),
        many(
            "time: edit distances, each just below the limit",
            900,
            "levenshtein(repeat('a', 8000), repeat('b', 8000))",
        ),
        select(
            "time: nested edit distances",
            nested("levenshtein(repeat('a', 8000), repeat('b', 8000 + ", "a", "))", 15),
        ),
        select("memory: joined constants", format!("concat({})", list(2_000, ", ", |_| "repeat('x', 65000)".into()))),
        select(
            "memory: a long separator",
            format!("concat_ws(repeat('x', 65000), {})", list(5_000, ", ", |_| "'y'".into())),
        ),
        select("memory: ||", list(200, " || ", |_| "repeat('x', 65000)".into())),
        select(
            "memory: translate makes four bytes of one",
            nested("translate(", "repeat('x', 60000)", ", 'x', '😀')", 30),
        ),
        select(
            "memory: overlay",
            nested("overlay(", "repeat('x', 60000)", " placing repeat('y', 60000) from 1 for 0)", 30),
        ),
        select("memory: hex of hex", nested("encode(", "'x'", ", 'hex')", 40)),
        select(
            "time: encode and decode in turns",
            nested("decode(encode(", "repeat('x', 60000)", ", 'base64'), 'base64')", 20),
        ),
        many("time: hashes of large constants", 1_500, "sha512(repeat('x', 65000))"),
        select("time: a chain of hashes", nested("sha512(", "repeat('x', 65000)", ")", 45)),
        many("time: MD5 of large constants", 1_500, "md5(repeat('x', 65000))"),
        many("time: a long set of characters to trim", 800, "btrim(repeat('x', 60000), repeat('y', 60000))"),
        many("time: a needle that almost fits", 800, "strpos(repeat('x', 60000), repeat('x', 30000) || 'y')"),
        many("time: split at every character", 800, "split_part(repeat('x', 60000), 'x', 50000)"),
        many("time: the index of a substring", 800, "substr_index(repeat('x', 60000), 'x', 50000)"),
        many("time: reversal of graphemes", 1_000, "reverse(repeat('é', 30000))"),
        many("memory: a regex that counts to a million", 1_000, "regexp_like('x', '((a{100}){100}){100}')"),
        many("memory: Unicode classes counted", 1_000, "regexp_like('x', '(\\w{300}){300}')"),
        many("time: a regex that backtracks elsewhere", 500, "regexp_like(repeat('a', 60000), '(a*)*(a*)*(a*)*b')"),
        many("time: optional letters", 300, "regexp_like(repeat('a', 60000), '(a?){3000}a{3000}')"),
        select("time: nested groups of a regex", format!("regexp_like('x', '{}')", nested("(", "a", ")*", 10_000))),
        many(
            "memory: replacements of a regex",
            500,
            "regexp_replace(repeat('a', 60000), 'a', repeat('b', 60000), 'g')",
        ),
        many("time: counted matches of a regex", 500, "regexp_count(repeat('a', 60000), '(a|b)*c')"),
        many("time: LIKE with many wildcards", 200, &format!("(repeat('a', 60000) LIKE '{}b')", "%a".repeat(100))),
        many("time: ~ with a counted class", 1_000, "(s ~ '(\\w{300}){300}')"),
        many("memory: SIMILAR TO", 1_000, "(repeat('a', 60000) SIMILAR TO '(a|b)*c{1000}')"),
        many("memory: values as wide as the SQL says", 500, "arrow_cast('x', 'FixedSizeBinary(2000000000)')"),
        many("memory: lists as wide as the SQL says", 500, "arrow_cast(NULL, 'FixedSizeList(2000000000, Int64)')"),
        many("overflow: a factorial", 1_000, "factorial(2000000000)"),
        many("overflow: powers", 1_000, "power(10, 1000000000)"),
        many(
            "overflow: decimals",
            1_000,
            "(CAST('99999999999999999999999999999999999999' AS decimal(38,0)) * CAST('99999999999999999999999999999999999999' AS decimal(38,0)))",
        ),
        many("overflow: rounding to billions of places", 1_000, "round(1.5, 2147483647)"),
        many("overflow: dates and intervals", 500, "(DATE '9999-12-31' + INTERVAL '999999999 years')"),
        many(
            "overflow: intervals times numbers",
            500,
            "(TIMESTAMP '9999-12-31' + INTERVAL '9223372036854775807 seconds')",
        ),
        many(
            "time: bins of a nanosecond",
            500,
            "date_bin(INTERVAL '1 nanosecond', TIMESTAMP '2261-01-01', TIMESTAMP '1700-01-01')",
        ),
        many(
            "time: bins of a month",
            500,
            "date_bin(INTERVAL '1 month', TIMESTAMP '2261-01-01', TIMESTAMP '1700-01-01')",
        ),
        select("time: thousands of formats", format!("to_timestamp('x', {})", list(8_000, ", ", |_| "'%Y'".into()))),
        many(
            "memory: a long format of a date",
            500,
            &format!("to_char(TIMESTAMP '2020-01-01', '{}')", "%c".repeat(40)),
        ),
        many("overflow: numbers beyond floats", 500, "1e309"),
        select("overflow: a literal of a million digits, cut to what SQL may have", "9".repeat(60_000)),
        select("overflow: a decimal with a long fraction", format!("0.{}", "3".repeat(60_000))),
        select("memory: a literal of 60 KiB", format!("'{}'", "x".repeat(60_000))),
    ]
}
