//! The flights job: its files, its records, and the table that must come out, computed anew from the source.

use anyhow::{Context, Result};
use millstream_testbed::{
    data::DataSet,
    oracle::{Change, Expected},
    produce::Message,
};
use serde_json::{Map, Value};

pub(crate) const TOPIC: &str = "flights";
pub(crate) const KEYSPACE: &str = "demo";
pub(crate) const TABLE: &str = "flights";
/// Makes keyspace and table.
pub(crate) const CQL: &str = include_str!("../../../../../jobs/flights.cql");
const JOB_FILE: &str = include_str!("../../../../../jobs/flights.toml");

/// The columns of the table, the primary key first.
const COLUMNS: &[&str] = &[
    "origin",
    "month",
    "time_hour",
    "carrier",
    "flight",
    "year",
    "day",
    "hour",
    "minute",
    "dep_time",
    "sched_dep_time",
    "dep_delay",
    "arr_time",
    "sched_arr_time",
    "arr_delay",
    "tailnum",
    "dest",
    "air_time",
    "distance",
    "route",
    "cancelled",
    "total_delay",
    "speed_mph",
];
const KEY_COLUMNS: usize = 5;

/// `jobs/flights.toml` with the addresses of these servers.
pub(crate) fn job_file(bootstrap: &str, contact_points: &[String]) -> String {
    let brokers: Vec<&str> = bootstrap.split(',').collect();
    let line = |line: &str| match line.split('=').next().map(str::trim) {
        Some("bootstrap") => format!("bootstrap = {brokers:?}\n"),
        Some("contact_points") => format!("contact_points = {contact_points:?}\n"),
        _ => format!("{line}\n"),
    };
    JOB_FILE.lines().map(line).collect()
}

/// All records as JSON; those of one flight number stay in order.
pub(crate) fn messages() -> Result<Vec<Message>> {
    let messages = DataSet::Flights.records()?.map(|record| {
        let record = record?;
        let key = format!("{}{}", text(&record, "carrier")?, record["flight"]);
        Ok(Message::new(key, Value::Object(record).to_string()))
    });
    messages.collect()
}

/// The table that must come out: the job's SQL written again in Rust.
pub(crate) fn expected() -> Result<Expected> {
    let mut expected = Expected::new(COLUMNS, KEY_COLUMNS);
    for record in DataSet::Flights.records()? {
        expected.apply(Change::Upsert(row(record?)?));
    }
    Ok(expected)
}

fn row(mut record: Map<String, Value>) -> Result<Map<String, Value>> {
    let route = format!("{}-{}", text(&record, "origin")?, text(&record, "dest")?);
    let cancelled = record["dep_time"].is_null();
    let delay = |column: &str| record[column].as_i64().unwrap_or(0);
    let total_delay = delay("dep_delay") + delay("arr_delay");
    let speed_mph = match (record["distance"].as_f64(), record["air_time"].as_f64()) {
        (Some(miles), Some(minutes)) => Value::from(miles * 60.0 / minutes),
        _ => Value::Null,
    };
    record.insert("route".to_owned(), route.into());
    record.insert("cancelled".to_owned(), cancelled.into());
    record.insert("total_delay".to_owned(), total_delay.into());
    record.insert("speed_mph".to_owned(), speed_mph);
    Ok(record)
}

fn text<'a>(record: &'a Map<String, Value>, column: &str) -> Result<&'a str> {
    record[column].as_str().with_context(|| format!("{column} is not text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_file_gets_the_real_addresses() {
        let file = job_file("a:1,b:2", &["c:3".to_owned()]);
        assert!(file.contains("\nbootstrap = [\"a:1\", \"b:2\"]\n"), "{file}");
        assert!(file.contains("\ncontact_points = [\"c:3\"]\n"), "{file}");
    }

    #[test]
    fn every_flight_is_a_row() {
        assert_eq!(expected().unwrap().len(), DataSet::Flights.len());
    }
}
