//! The whole way from bytes to rows, and the isolation of bad records.

use millstream_spec::{CassandraSink, Consistency, Nulls, SourceColumn, Ttl, types};
use proptest::prelude::*;

use super::*;
use crate::{BadReason, Cell, ColumnKind, CqlType, RowKind, TableColumn, TableSchema, Udts, bind};

fn columns(columns: &[(&str, &str)]) -> Vec<SourceColumn> {
    let column = |(name, ty): &(&str, &str)| SourceColumn {
        name: (*name).to_owned(),
        data_type: types::parse(ty).unwrap(),
        path: vec![(*name).to_owned()],
        required: false,
        precision: Default::default(),
    };
    columns.iter().map(column).collect()
}

fn sink() -> CassandraSink {
    CassandraSink {
        contact_points: vec!["127.0.1.1:9042".to_owned()],
        datacenter: None,
        keyspace: "demo".to_owned(),
        table: "t".to_owned(),
        consistency: Consistency::LocalQuorum,
        ttl: None,
        nulls: Nulls::Tombstone,
        columns: [].into(),
        username: None,
        password: None,
        tls: None,
    }
}

/// A table of `demo`; the kind is `p0`, `c0`, `s` or nothing.
fn table(columns: &[(&str, &str, &str)]) -> TableSchema {
    let column = |(name, ty, kind): &(&str, &str, &str)| TableColumn {
        name: (*name).to_owned(),
        ty: CqlType::parse(ty, &Udts::default()).unwrap(),
        kind: match kind.split_at_checked(1) {
            Some(("p", n)) => ColumnKind::PartitionKey(n.parse().unwrap()),
            Some(("c", n)) => ColumnKind::Clustering(n.parse().unwrap()),
            Some(("s", _)) => ColumnKind::Static,
            _ => ColumnKind::Regular,
        },
    };
    TableSchema {
        keyspace: "demo".to_owned(),
        table: "t".to_owned(),
        columns: columns.iter().map(column).collect(),
        is_view: false,
        cdc: false,
    }
}

fn processor(source: &[SourceColumn], sql: &str, sink: &CassandraSink, table: &TableSchema) -> Processor {
    let transform = Transform::compile(source, sql).unwrap();
    let binding = bind(&transform, sink, table).unwrap();
    Processor::new("topic", transform, binding, source)
}

fn record<'a>(offset: i64, key: Option<&'a str>, value: Option<&'a str>) -> Record<'a> {
    let bytes = |text: Option<&'a str>| text.map(str::as_bytes);
    Record { partition: 0, offset, timestamp_ms: None, key: bytes(key), value: bytes(value), headers: &[] }
}

fn values<'a>(values: &[&'a str]) -> Vec<Record<'a>> {
    values.iter().enumerate().map(|(i, value)| record(i as i64, None, Some(value))).collect()
}

fn reasons(processed: &Processed) -> Vec<(usize, BadReason)> {
    processed.bad.iter().map(|bad| (bad.index, bad.reason)).collect()
}

fn text(cell: Cell<'_>) -> String {
    match cell {
        Cell::Null => "null".to_owned(),
        Cell::Unset => "unset".to_owned(),
        Cell::Value(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn cells(processed: &Processed, row: usize) -> Vec<String> {
    processed.rows.row(row).cells().map(text).collect()
}

#[test]
fn rows_bind_key_columns_first_and_carry_routing_keys() {
    let source = columns(&[("v", "int"), ("day", "date"), ("id", "text"), ("n", "tinyint")]);
    let table = table(&[("v", "int", ""), ("n", "tinyint", "c0"), ("id", "text", "p0"), ("day", "date", "p1")]);
    let mut processor =
        processor(&source, "SELECT v, day, id, n FROM input WHERE v IS NULL OR v >= 0", &sink(), &table);
    assert_eq!(
        processor.binding.upsert_cql(),
        r#"INSERT INTO "demo"."t" ("id", "day", "n", "v") VALUES ((text)?, (date)?, (tinyint)?, (int)?) USING TIMESTAMP ?"#
    );
    assert_eq!(
        processor.binding.delete_cql(),
        r#"DELETE FROM "demo"."t" USING TIMESTAMP ? WHERE "id" = (text)? AND "day" = (date)? AND "n" = (tinyint)?"#
    );
    let processed = processor.process(&values(&[
        r#"{"v":-1,"day":"1970-01-01","id":"a","n":1}"#,
        r#"{"v":1,"day":"1970-01-01","id":"ab","n":2}"#,
        r#"{"day":"1970-01-01","id":"","n":3}"#,
    ]));
    assert_eq!((processed.filtered, processed.bad.len(), processed.rows.len()), (1, 0, 2));
    let row = processed.rows.row(0);
    assert_eq!((row.record_index(), row.kind(), row.ttl_secs()), (1, RowKind::Upsert, None));
    assert_eq!(cells(&processed, 0), ["6162", "80000000", "02", "00000001"]);
    assert_eq!(row.partition_key(), b"\x00\x02ab\x00\x00\x04\x80\x00\x00\x00\x00");
    assert_eq!(row.primary_key(), b"\x00\x02ab\x00\x00\x04\x80\x00\x00\x00\x00\x02\x00\x01");
    assert_eq!(row.size_bytes(), 4 * 4 + 2 + 4 + 1 + 4);
    assert_eq!(cells(&processed, 1)[3], "null");
}

#[test]
fn a_single_partition_key_routes_by_its_bytes_and_may_not_be_empty() {
    let source = columns(&[("id", "text"), ("c", "text")]);
    let table = table(&[("id", "text", "p0"), ("c", "text", "c0")]);
    let mut processor = processor(&source, "SELECT id, c FROM input", &sink(), &table);
    let long = format!(r#"{{"id":"{}","c":""}}"#, "x".repeat(65_536));
    let deep = format!(r#"{{"id":"x","c":"{}"}}"#, "x".repeat(65_536));
    let records = [r#"{"id":"k","c":""}"#, r#"{"id":"","c":"x"}"#, r#"{"id":"k"}"#, &long, &deep];
    let processed = processor.process(&values(&records));
    assert_eq!(processed.rows.row(0).partition_key(), b"k");
    let invalid = BadReason::InvalidKey;
    assert_eq!(reasons(&processed), [(1, invalid), (2, BadReason::NullKey), (3, invalid), (4, invalid)]);
}

#[test]
fn primary_keys_differ_wherever_their_values_do() {
    let source = columns(&[("id", "text"), ("c", "text")]);
    let table = table(&[("id", "text", "p0"), ("c", "text", "c0")]);
    let mut processor = processor(&source, "SELECT id, c FROM input", &sink(), &table);
    let processed = processor.process(&values(&[r#"{"id":"ab","c":"c"}"#, r#"{"id":"a","c":"bc"}"#]));
    assert_ne!(processed.rows.row(0).primary_key(), processed.rows.row(1).primary_key());
}

#[test]
fn a_record_without_value_deletes_the_row_of_its_key() {
    let source = columns(&[("v", "int")]);
    let table = table(&[("id", "int", "p0"), ("v", "int", "")]);
    let sql = "SELECT CAST(_key AS INT) AS id, v FROM input WHERE v > 0";
    let mut processor = processor(&source, sql, &sink(), &table);
    let records = [
        record(0, Some("7"), Some(r#"{"v":1}"#)),
        record(1, Some("7"), None),
        record(2, None, None),
        record(3, Some("x"), None),
        record(4, Some("8"), Some(r#"{"v":0}"#)),
        record(5, Some("9"), Some(r#"{"v":2}"#)),
    ];
    let processed = processor.process(&records);
    let kinds: Vec<_> = processed.rows.iter().map(|row| (row.record_index(), row.kind())).collect();
    assert_eq!(kinds, [(0, RowKind::Upsert), (1, RowKind::Delete), (5, RowKind::Upsert)]);
    assert_eq!(cells(&processed, 1), ["00000007"]);
    assert_eq!(cells(&processed, 2), ["00000009", "00000002"]);
    assert_eq!(reasons(&processed), [(2, BadReason::TombstoneWithoutKey), (3, BadReason::Evaluation)]);
    assert_eq!(processed.filtered, 1);
}

#[test]
fn required_fields_do_not_bind_records_without_value() {
    let mut source = columns(&[("v", "int")]);
    source[0].required = true;
    let table = table(&[("id", "text", "p0"), ("v", "int", "")]);
    let mut processor = processor(&source, "SELECT _key AS id, v FROM input", &sink(), &table);
    let records =
        [record(0, Some("k"), Some("{}")), record(1, Some("k"), None), record(2, Some("k"), Some(r#"{"v":null}"#))];
    let processed = processor.process(&records);
    assert_eq!(processed.rows.row(0).kind(), RowKind::Delete);
    assert_eq!(reasons(&processed), [(0, BadReason::MissingField), (2, BadReason::MissingField)]);
}

#[test]
fn nulls_leave_cells_alone_when_asked_to() {
    let source = columns(&[("id", "int"), ("v", "int")]);
    let table = table(&[("id", "int", "p0"), ("v", "int", "")]);
    let unset = CassandraSink { nulls: Nulls::Unset, ..sink() };
    let mut processor = processor(&source, "SELECT id, v FROM input", &unset, &table);
    assert_eq!(cells(&processor.process(&values(&[r#"{"id":1}"#])), 0), ["00000001", "unset"]);
}

#[test]
fn time_to_live_comes_from_the_job_or_a_column() {
    let source = columns(&[("id", "int"), ("ttl", "bigint")]);
    let table = table(&[("id", "int", "p0")]);
    let fixed = CassandraSink { ttl: Some(Ttl::Secs(60)), ..sink() };
    let mut with_fixed = processor(&source, "SELECT id FROM input", &fixed, &table);
    assert_eq!(with_fixed.process(&values(&[r#"{"id":1}"#])).rows.row(0).ttl_secs(), Some(60));

    let by_column = CassandraSink { ttl: Some(Ttl::Column("ttl".to_owned())), ..sink() };
    let mut with_column = processor(&source, "SELECT id, ttl FROM input", &by_column, &table);
    assert!(with_column.binding.upsert_cql().ends_with("(\"id\") VALUES ((int)?) USING TIMESTAMP ? AND TTL ?"));
    let processed = with_column.process(&values(&[
        r#"{"id":1,"ttl":5}"#,
        r#"{"id":1,"ttl":0}"#,
        r#"{"id":1}"#,
        r#"{"id":1,"ttl":-1}"#,
        r#"{"id":1,"ttl":630720001}"#,
    ]));
    let ttls: Vec<_> = processed.rows.iter().map(|row| row.ttl_secs()).collect();
    assert_eq!(ttls, [Some(5), Some(0), None]);
    assert_eq!(reasons(&processed), [(3, BadReason::InvalidTtl), (4, BadReason::InvalidTtl)]);
}

#[test]
fn rows_over_the_largest_mutation_are_bad() {
    let source = columns(&[("id", "int"), ("v", "text")]);
    let table = table(&[("id", "int", "p0"), ("v", "text", "")]);
    let mut processor = processor(&source, "SELECT id, repeat(v, 1000000) AS v FROM input", &sink(), &table);
    let processed = processor.process(&values(&[r#"{"id":1,"v":"12345678"}"#, r#"{"id":1,"v":"12345678901234567"}"#]));
    assert_eq!(processed.rows.len(), 1);
    assert_eq!(reasons(&processed), [(1, BadReason::ResultTooLarge)]);
}

#[test]
fn paddings_of_every_length_are_bounded() {
    let source = columns(&[("id", "int"), ("n", "bigint")]);
    let table = table(&[("id", "int", "p0"), ("v", "text", "")]);
    let sql = "SELECT id, lpad('a', n, 'xyz') AS v FROM input";
    let mut processor = processor(&source, sql, &sink(), &table);
    let lengths = [3, i64::MAX, i64::from(i32::MAX), i64::from(i32::MAX) + 1, i64::MIN, 20_000_000];
    let texts: Vec<String> = lengths.iter().map(|n| format!(r#"{{"id":1,"n":{n}}}"#)).collect();
    let processed = processor.process(&values(&texts.iter().map(String::as_str).collect::<Vec<_>>()));
    let large = BadReason::ResultTooLarge;
    assert_eq!(reasons(&processed), [(1, large), (2, large), (3, large), (4, BadReason::Evaluation), (5, large)]);
}

#[test]
fn a_panic_in_the_evaluation_is_one_bad_record() {
    let source = columns(&[("id", "int"), ("v", "text")]);
    let table = table(&[("id", "int", "p0"), ("v", "text", "")]);
    // A gigantic repeat is refused by DataFusion or overflows an Arrow buffer; either way only its record may suffer.
    let mut processor = processor(&source, "SELECT id, repeat(v, id) AS v FROM input", &sink(), &table);
    let processed =
        processor.process(&values(&[r#"{"id":1,"v":"a"}"#, r#"{"id":2147483647,"v":"aa"}"#, r#"{"id":2,"v":"b"}"#]));
    assert_eq!(processed.rows.len(), 2);
    assert_eq!(processed.bad.len(), 1);
    assert_eq!(processed.bad[0].index, 1);
}

#[test]
fn nested_paths_reach_into_objects() {
    let mut source = columns(&[("a", "int"), ("b", "text"), ("m", "map<text, int>"), ("whole", "text")]);
    source[0].path = vec!["x".to_owned(), "a".to_owned()];
    source[1].path = vec!["x".to_owned(), "y".to_owned(), "b".to_owned()];
    source[2].path = vec!["x".to_owned(), "m".to_owned()];
    source[3].path = vec!["x".to_owned(), "y".to_owned(), "b".to_owned()];
    let table = table(&[("a", "int", "p0"), ("b", "text", ""), ("m", "map<text, int>", ""), ("whole", "text", "")]);
    let mut processor = processor(&source, "SELECT * FROM input", &sink(), &table);
    let processed = processor.process(&values(&[
        r#"{"skip":[{"a":{}}],"x":{"y":{"c":1,"b":"q"},"m":{"k":1},"a":5}}"#,
        r#"{"x":{"y":null,"a":5}}"#,
        r#"{"x":5}"#,
        r#"{"x":{"a":1,"a":2}}"#,
        r#"{"x":{"a":{"b":1}}}"#,
    ]));
    assert_eq!(cells(&processed, 0), ["00000005", "71", "00000001000000016b0000000400000001", "71"]);
    assert_eq!(cells(&processed, 1), ["00000005", "null", "null", "null"]);
    let mismatch = BadReason::TypeMismatch;
    assert_eq!(reasons(&processed), [(2, mismatch), (3, BadReason::InvalidJson), (4, mismatch)]);
    assert!(processed.bad[1].detail.contains("`x.a` occurs twice"), "{}", processed.bad[1].detail);
}

/// A record of the property below, and whether it is good.
fn any_record() -> impl Strategy<Value = (Option<String>, Option<String>)> {
    let good =
        (0..50i32, -5..50i32, "[a-zé\"\\\\]{0,6}", proptest::option::of(0..1000i64)).prop_map(|(id, v, s, big)| {
            serde_json::json!({"id": id, "v": v, "s": s, "big": big, "l": [v, id]}).to_string()
        });
    let bad = prop_oneof![
        Just("".to_owned()),
        Just("[]".to_owned()),
        Just("{\"id\":1".to_owned()),
        Just("{\"id\":1,\"v\":0}".to_owned()),
        Just("{\"id\":1,\"v\":1.5}".to_owned()),
        Just("{\"id\":1,\"v\":1,\"l\":[1,\"x\"]}".to_owned()),
        Just("{\"id\":1,\"v\":1,\"l\":[null]}".to_owned()),
        Just("{\"id\":1,\"v\":1,\"big\":9223372036854775807}".to_owned()),
        Just("{\"v\":1}".to_owned()),
        Just("{\"id\":1,\"v\":2147483647}".to_owned()),
    ];
    let value = prop_oneof![8 => good.prop_map(Some), 2 => bad.prop_map(Some), 1 => Just(None)];
    (proptest::option::of("[0-9]{1,2}|x"), value)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// However records are cut into batches, each gives the same row, failure or nothing.
    #[test]
    fn records_do_not_touch_each_other(
        records in proptest::collection::vec(any_record(), 1..80),
        cuts in proptest::collection::vec(1..30usize, 1..20),
    ) {
        let source = columns(&[("id", "int"), ("v", "int"), ("s", "text"), ("big", "bigint"), ("l", "list<int>")]);
        let table = table(&[
            ("id", "int", "p0"), ("q", "int", "c0"), ("s", "text", ""), ("n", "tinyint", ""), ("big", "bigint", ""),
            ("l", "set<int>", ""),
        ]);
        let sql = "SELECT coalesce(id, CAST(_key AS INT)) AS id, coalesce(100 / v, _offset) AS q, upper(s) AS s, \
                   v + 80 AS n, big + 1 AS big, l FROM input WHERE v <> 3";
        let mut processor = processor(&source, sql, &sink(), &table);
        let records: Vec<Record<'_>> = records
            .iter()
            .enumerate()
            .map(|(i, (key, value))| record(i as i64, key.as_deref(), value.as_deref()))
            .collect();

        let whole = outcomes(&processor.process(&records), 0, records.len());
        let alone: Vec<String> = records
            .iter()
            .enumerate()
            .flat_map(|(i, record)| outcomes(&processor.process(std::slice::from_ref(record)), i, 1))
            .collect();
        prop_assert_eq!(&whole, &alone);

        let (mut split, mut start) = (vec![], 0);
        for cut in cuts.iter().cycle() {
            if start == records.len() {
                break;
            }
            let end = records.len().min(start + cut);
            split.extend(outcomes(&processor.process(&records[start..end]), start, end - start));
            start = end;
        }
        prop_assert_eq!(whole, split);
    }
}

/// One line per record.
fn outcomes(processed: &Processed, first: usize, count: usize) -> Vec<String> {
    let mut lines: Vec<String> = (first..first + count).map(|index| format!("{index} filtered")).collect();
    for row in processed.rows.iter() {
        let cells: Vec<_> = row.cells().map(text).collect();
        lines[row.record_index()] =
            format!("{} {:?} {cells:?} {:?}", first + row.record_index(), row.kind(), row.primary_key());
    }
    for bad in &processed.bad {
        lines[bad.index] = format!("{} {} {}", first + bad.index, bad.reason, bad.detail);
    }
    assert_eq!(processed.rows.len() + processed.bad.len() + processed.filtered, count);
    lines
}
