//! How long each step takes on one core, over a million flight-like records of about 188 bytes.
//!
//! `cargo run --release -p millstream-pipeline --example throughput`

use std::time::{Duration, Instant};

use millstream_pipeline::{ColumnKind, CqlType, Processor, Record, TableColumn, TableSchema, Transform, Udts, bind};
use millstream_spec::{CassandraSink, SourceColumn, types};

const RECORDS: usize = 1_000_000;
const BATCH: usize = 32_768;

const COLUMNS: [(&str, &str); 10] = [
    ("year", "int"),
    ("month", "int"),
    ("day", "int"),
    ("dep_time", "int"),
    ("dep_delay", "double"),
    ("carrier", "text"),
    ("flight", "int"),
    ("origin", "text"),
    ("dest", "text"),
    ("time_hour", "timestamp"),
];

const SQL: &str = "SELECT origin, CAST(time_hour AS DATE) AS day, carrier, flight, dest, dep_time, dep_delay, \
                   dep_delay > 15 AS late, time_hour FROM input WHERE year = 2013";

const TABLE: [(&str, &str, ColumnKind); 9] = [
    ("origin", "text", ColumnKind::PartitionKey(0)),
    ("day", "date", ColumnKind::PartitionKey(1)),
    ("carrier", "text", ColumnKind::Clustering(0)),
    ("flight", "int", ColumnKind::Clustering(1)),
    ("dest", "text", ColumnKind::Regular),
    ("dep_time", "int", ColumnKind::Regular),
    ("dep_delay", "double", ColumnKind::Regular),
    ("late", "boolean", ColumnKind::Regular),
    ("time_hour", "timestamp", ColumnKind::Regular),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let values: Vec<String> = (0..BATCH).map(value).collect();
    let records: Vec<Record<'_>> = values.iter().enumerate().map(|(offset, value)| record(offset, value)).collect();
    let mut processor = processor()?;
    let (mut decode, mut sql, mut encode) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let mut rows = 0;
    for _ in 0..RECORDS / BATCH {
        let start = Instant::now();
        let decoded = processor.decode(&records);
        let decoded_at = Instant::now();
        let transformed = processor.transform(decoded, usize::MAX);
        let transformed_at = Instant::now();
        let processed = processor.encode(transformed);
        encode += transformed_at.elapsed();
        decode += decoded_at - start;
        sql += transformed_at - decoded_at;
        rows += processed.rows.len();
        assert!(processed.bad.is_empty(), "{:?}", processed.bad[0]);
    }
    let bytes: usize = values.iter().map(String::len).sum();
    let per_million = |time: Duration| time.as_secs_f64() / rows as f64 * 1e6;
    println!("{rows} rows from records of {} bytes on average; seconds per million:", bytes / BATCH);
    println!("decode {:.3}", per_million(decode));
    println!("sql    {:.3}", per_million(sql));
    println!("encode {:.3}", per_million(encode));
    println!("all    {:.3}", per_million(decode + sql + encode));
    Ok(())
}

fn value(i: usize) -> String {
    let (day, hour) = (i % 28 + 1, i % 24);
    format!(
        r#"{{"year":2013,"month":1,"day":{day},"dep_time":{},"dep_delay":{}.5,"arr_delay":{},"carrier":"UA","flight":{},"tailnum":"N{i:05}","origin":"EWR","dest":"IAH","air_time":227,"time_hour":"2013-01-{day:02}T{hour:02}:00:00Z"}}"#,
        500 + i % 1000,
        i % 90,
        i % 60,
        i % 5000,
    )
}

fn record(offset: usize, value: &str) -> Record<'_> {
    Record {
        partition: 0,
        offset: offset as i64,
        timestamp_ms: None,
        key: None,
        value: Some(value.as_bytes()),
        headers: &[],
    }
}

fn processor() -> Result<Processor, Box<dyn std::error::Error>> {
    let mut source = vec![];
    for (name, ty) in COLUMNS {
        let data_type = types::parse(ty).map_err(|error| format!("{error:?}"))?;
        source.push(SourceColumn {
            name: name.to_owned(),
            data_type,
            path: vec![name.to_owned()],
            required: false,
            precision: Default::default(),
        });
    }
    let sink: CassandraSink = serde_json::from_str(r#"{"contact_points":[],"keyspace":"demo","table":"flights"}"#)?;
    let mut columns = vec![];
    for (name, ty, kind) in TABLE {
        columns.push(TableColumn { name: name.to_owned(), ty: CqlType::parse(ty, &Udts::default())?, kind });
    }
    let table =
        TableSchema { keyspace: "demo".to_owned(), table: "flights".to_owned(), columns, is_view: false, cdc: false };
    let transform = Transform::compile(&source, SQL)?;
    let binding = bind(&transform, &sink, &table).map_err(|errors| errors[0].message.clone())?;
    Ok(Processor::new("flights", transform, binding, &source))
}
