//! The record's own columns of `input`.

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Builder, Int64Builder, MapBuilder, MapFieldNames, StringBuilder,
    TimestampMillisecondBuilder,
};

use crate::{Record, sql::input::Meta};

/// One metadata column of `records`.
pub(crate) fn column<'a, 'r: 'a>(
    meta: Meta,
    topic: &str,
    records: impl ExactSizeIterator<Item = &'a Record<'r>>,
) -> ArrayRef {
    let rows = records.len();
    match meta {
        Meta::Topic => {
            let mut builder = StringBuilder::with_capacity(rows, rows * topic.len());
            records.for_each(|_| builder.append_value(topic));
            Arc::new(builder.finish())
        }
        Meta::Partition => {
            let mut builder = Int32Builder::with_capacity(rows);
            records.for_each(|record| builder.append_value(record.partition));
            Arc::new(builder.finish())
        }
        Meta::Offset => {
            let mut builder = Int64Builder::with_capacity(rows);
            records.for_each(|record| builder.append_value(record.offset));
            Arc::new(builder.finish())
        }
        Meta::Timestamp => {
            let mut builder = TimestampMillisecondBuilder::with_capacity(rows);
            records.for_each(|record| builder.append_option(record.timestamp_ms));
            Arc::new(builder.finish())
        }
        Meta::Key => {
            let mut builder = StringBuilder::new();
            records.for_each(|record| builder.append_option(record.key.and_then(|key| std::str::from_utf8(key).ok())));
            Arc::new(builder.finish())
        }
        Meta::KeyBytes => {
            let mut builder = BinaryBuilder::new();
            records.for_each(|record| builder.append_option(record.key));
            Arc::new(builder.finish())
        }
        Meta::Headers => headers(records),
    }
}

fn headers<'a, 'r: 'a>(records: impl Iterator<Item = &'a Record<'r>>) -> ArrayRef {
    let names = MapFieldNames { entry: "entries".to_owned(), key: "keys".to_owned(), value: "values".to_owned() };
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for record in records {
        let last: BTreeMap<&str, Option<&[u8]>> = record.headers.iter().map(|h| (h.name, h.value)).collect();
        for (name, value) in last {
            builder.keys().append_value(name);
            builder.values().append_option(value.and_then(|value| std::str::from_utf8(value).ok()));
        }
        builder.append(true).expect("each header has one key and one value");
    }
    Arc::new(builder.finish())
}
