//! Type texts, and what a transform may be bound to.

use millstream_spec::{CassandraSink, SourceColumn, Ttl, types};

use super::*;
use crate::Transform;

#[test]
fn types_read_and_print_as_the_schema_tables_write_them() {
    let udts = Udts {
        keyspace: "demo".to_owned(),
        types: [
            ("point".to_owned(), vec![("x".to_owned(), "double".to_owned()), ("y".to_owned(), "double".to_owned())]),
            ("Odd Name".to_owned(), vec![("p".to_owned(), "frozen<point>".to_owned())]),
        ]
        .into(),
    };
    for text in [
        "ascii",
        "bigint",
        "blob",
        "boolean",
        "counter",
        "date",
        "decimal",
        "double",
        "duration",
        "float",
        "inet",
        "int",
        "smallint",
        "text",
        "time",
        "timestamp",
        "timeuuid",
        "tinyint",
        "uuid",
        "varint",
        "list<int>",
        "frozen<set<text>>",
        "map<text, frozen<list<int>>>",
        "frozen<tuple<int, text>>",
        "vector<float, 3>",
        "frozen<point>",
        "map<int, frozen<point>>",
        "'org.apache.cassandra.db.marshal.DynamicCompositeType'",
    ] {
        assert_eq!(CqlType::parse(text, &udts).unwrap().to_string(), text);
    }
    assert_eq!(CqlType::parse("varchar", &udts), Ok(CqlType::Text));
    let CqlType::Udt { fields, .. } = CqlType::parse("\"Odd Name\"", &udts).unwrap() else { panic!("not a UDT") };
    assert_eq!(fields[0].0, "p");
    let nested = format!("{}int{}", "list<".repeat(100), ">".repeat(100));
    for bad in [
        "",
        "int>",
        "list<int",
        "list<>",
        "map<int>",
        "strange",
        "int<text>",
        "vector<float>",
        "list<int> x",
        "'x",
        &nested,
    ] {
        assert!(CqlType::parse(bad, &udts).is_err(), "{bad}");
    }
}

fn transform(sql: &str) -> Transform {
    let column = |(name, ty): &(&str, &str)| SourceColumn {
        name: (*name).to_owned(),
        data_type: types::parse(ty).unwrap(),
        path: vec![(*name).to_owned()],
        required: false,
        precision: Default::default(),
    };
    let columns = [("id", "int"), ("name", "text"), ("price", "double"), ("tags", "list<text>"), ("Mixed", "int")];
    Transform::compile(&columns.iter().map(column).collect::<Vec<_>>(), sql).unwrap()
}

fn sink(toml_columns: &[(&str, &str)], ttl: Option<Ttl>) -> CassandraSink {
    let mut sink: CassandraSink = serde_json::from_value(serde_json::json!({
        "contact_points": ["127.0.1.1:9042"], "keyspace": "demo", "table": "goods",
    }))
    .unwrap();
    sink.columns = toml_columns.iter().map(|(column, output)| ((*column).to_owned(), (*output).to_owned())).collect();
    sink.ttl = ttl;
    sink
}

fn goods() -> TableSchema {
    let column = |name: &str, ty: CqlType, kind| TableColumn { name: name.to_owned(), ty, kind };
    let text = || Box::new(CqlType::Text);
    TableSchema {
        keyspace: "demo".to_owned(),
        table: "goods".to_owned(),
        columns: vec![
            column("id", CqlType::Int, ColumnKind::PartitionKey(0)),
            column("name", CqlType::Text, ColumnKind::Clustering(0)),
            column("price", CqlType::Decimal, ColumnKind::Regular),
            column("tags", CqlType::List(text()), ColumnKind::Regular),
            column("labels", CqlType::Set(text()), ColumnKind::Regular),
            column("Mixed", CqlType::Bigint, ColumnKind::Regular),
            column("shared", CqlType::Text, ColumnKind::Static),
        ],
        is_view: false,
        cdc: false,
    }
}

fn bound(sql: &str, sink: &CassandraSink) -> String {
    let binding = bind(&transform(sql), sink, &goods()).unwrap();
    binding.columns().iter().map(|c| format!("{}←{} ", c.name, c.output)).collect::<String>().trim_end().to_owned()
}

fn refused(sql: &str, sink: &CassandraSink, table: &TableSchema) -> String {
    let errors = bind(&transform(sql), sink, table).unwrap_err();
    let line = |e: &BindError| format!("{}: {}; {}\n", e.at, e.message, e.help.as_deref().unwrap_or_default());
    errors.iter().map(line).collect()
}

#[test]
fn output_columns_find_their_table_columns() {
    assert_eq!(bound("SELECT name, id FROM input", &sink(&[], None)), "id←1 name←0");
    assert_eq!(
        bound(r#"SELECT name AS n, id, "Mixed" FROM input"#, &sink(&[("name", "n")], None)),
        "id←1 name←0 Mixed←2"
    );
    assert_eq!(bound("SELECT id, name, tags FROM input", &sink(&[("labels", "tags")], None)), "id←0 name←1 labels←2");
    let ttl = Some(Ttl::Column("secs".to_owned()));
    assert_eq!(
        bound("SELECT id, name, 60 AS secs, name AS shared FROM input", &sink(&[], ttl)),
        "id←0 name←1 shared←3"
    );
}

#[test]
fn what_cannot_be_bound_says_where_and_why() {
    let plain = sink(&[], None);
    let mut lines = String::new();
    for (sql, sink) in [
        ("SELECT id FROM input", &plain),
        ("SELECT id, name, price FROM input", &plain),
        ("SELECT id, name, tags FROM input", &plain),
        ("SELECT id, name, price AS prize, id + 1 FROM input", &plain),
        ("SELECT id, name FROM input", &sink(&[("nam", "name"), ("labels", "nmae")], None)),
        ("SELECT id, name, name AS title FROM input", &sink(&[("name", "title")], None)),
        ("SELECT id, name FROM input", &sink(&[], Some(Ttl::Column("secs".to_owned())))),
        ("SELECT id, name, price AS secs FROM input", &sink(&[], Some(Ttl::Column("secs".to_owned())))),
        ("SELECT id, name FROM input", &sink(&[], Some(Ttl::Secs(0)))),
    ] {
        lines += &format!("{sql}\n{}\n", refused(sql, sink, &goods()));
    }
    let mut counter = goods();
    counter.columns.push(TableColumn { name: "hits".to_owned(), ty: CqlType::Counter, kind: ColumnKind::Regular });
    let blocks = TableSchema { table: "millstream_blocks".to_owned(), ..goods() };
    let view = TableSchema { is_view: true, cdc: true, ..goods() };
    for table in [counter, blocks, view] {
        lines += &refused("SELECT id, name FROM input", &plain, &table);
    }
    insta::assert_snapshot!(lines);
}
