//! The data sets of the repository (`data/README.md`), as JSON records.

use std::io::Read;

use anyhow::{Context, Result};
use serde_json::{Map, Number, Value};

/// A data set, compressed in the program itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataSet {
    /// 336,776 flights that left New York City in 2013, of 5,725 carriers' flight numbers.
    Flights,
    /// 26,115 hourly weather reports of the three airports.
    Weather,
}

impl DataSet {
    /// Number of its records.
    pub fn len(self) -> usize {
        match self {
            DataSet::Flights => 336_776,
            DataSet::Weather => 26_115,
        }
    }

    /// Never: for the sake of those who ask for a length.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    fn compressed(self) -> &'static [u8] {
        match self {
            DataSet::Flights => include_bytes!("../data/flights.csv.zst"),
            DataSet::Weather => include_bytes!("../data/weather.csv.zst"),
        }
    }

    /// Columns that are text even where they look like numbers.
    fn text_columns(self) -> &'static [&'static str] {
        match self {
            DataSet::Flights => &["carrier", "tailnum", "origin", "dest", "time_hour"],
            DataSet::Weather => &["origin", "time_hour"],
        }
    }

    /// All records in file order: `NA` is null, numbers are numbers.
    pub fn records(self) -> Result<impl Iterator<Item = Result<Map<String, Value>>>> {
        let mut reader = csv::Reader::from_reader(zstd::Decoder::new(self.compressed())?);
        let columns: Vec<(String, bool)> =
            reader.headers()?.iter().map(|name| (name.to_owned(), self.text_columns().contains(&name))).collect();
        Ok(reader.into_records().map(move |record| {
            let record = record?;
            let fields =
                columns.iter().zip(&record).map(|((name, text), field)| Ok((name.clone(), value(field, *text)?)));
            fields.collect()
        }))
    }

    /// The file as it is, uncompressed.
    pub fn csv(self) -> Result<String> {
        let mut text = String::new();
        zstd::Decoder::new(self.compressed())?.read_to_string(&mut text)?;
        Ok(text)
    }
}

fn value(field: &str, text: bool) -> Result<Value> {
    if field == "NA" {
        return Ok(Value::Null);
    }
    if text {
        return Ok(Value::from(field));
    }
    if let Ok(integer) = field.parse::<i64>() {
        return Ok(Value::from(integer));
    }
    let number = field.parse().ok().and_then(Number::from_f64);
    number.map(Value::Number).with_context(|| format!("{field:?} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flights_have_numbers_texts_and_nulls() {
        let records: Vec<_> = DataSet::Flights.records().unwrap().map(Result::unwrap).collect();
        assert_eq!(records.len(), DataSet::Flights.len());
        assert_eq!(
            Value::Object(records[0].clone()).to_string(),
            r#"{"air_time":227,"arr_delay":11,"arr_time":830,"carrier":"UA","day":1,"dep_delay":2,"dep_time":517,"dest":"IAH","distance":1400,"flight":1545,"hour":5,"minute":15,"month":1,"origin":"EWR","sched_arr_time":819,"sched_dep_time":515,"tailnum":"N14228","time_hour":"2013-01-01T10:00:00Z","year":2013}"#
        );
        let nulls = records.iter().filter(|record| record["dep_delay"].is_null()).count();
        assert_eq!(nulls, 8_255);
    }

    #[test]
    fn weather_has_fractions() {
        let first = DataSet::Weather.records().unwrap().next().unwrap().unwrap();
        assert_eq!((&first["temp"], &first["wind_gust"]), (&Value::from(39.02), &Value::Null));
        assert_eq!(DataSet::Weather.records().unwrap().count(), DataSet::Weather.len());
    }
}
