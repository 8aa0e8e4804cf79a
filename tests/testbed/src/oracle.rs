//! The oracle: owns the produced log, folds it into the table that must come out, and compares field by field.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::{Map, Value};

use crate::table::Table;

/// Differences that are described; all of them are counted.
const DESCRIBED: usize = 10;

/// What one record does to the table.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The row is exactly this; columns that are not named are null.
    Upsert(Map<String, Value>),
    /// The row with this key is not there.
    Delete(Map<String, Value>),
    /// Nothing: filtered, or bad.
    Nothing,
}

/// The table that must come out.
#[derive(Debug, Clone)]
pub struct Expected {
    columns: Vec<String>,
    key: Vec<String>,
    /// By key; values in the order of `columns`.
    rows: BTreeMap<String, Vec<Value>>,
}

impl Expected {
    /// An empty table with these columns, of which the first `key` are the primary key.
    pub fn new(columns: &[&str], key: usize) -> Self {
        let columns: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
        Expected { key: columns[..key].to_vec(), columns, rows: BTreeMap::new() }
    }

    /// Applies the next record. Records of one row must come in the order of their offsets.
    ///
    /// # Panics
    /// When a row has a column that was not named: it would never be compared.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Upsert(mut row) => {
                let key = self.key_of(|column| row.get(column));
                let values = self.columns.iter().map(|column| row.remove(column).unwrap_or_default()).collect();
                assert!(row.is_empty(), "columns that the expected table lacks: {row:?}");
                self.rows.insert(key, values);
            }
            Change::Delete(key) => {
                self.rows.remove(&self.key_of(|column| key.get(column)));
            }
            Change::Nothing => {}
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row is expected.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Compares the table with what must have come out, every field of every row.
    pub fn compare(&self, table: &Table) -> Differences {
        let mut differences = Differences { rows: table.rows.len(), ..Default::default() };
        if let Some(unknown) = table.columns.iter().find(|column| !self.columns.contains(column)) {
            differences.add(|| format!("unexpected column {unknown}"), |d| &mut d.different);
        }
        let place: BTreeMap<&str, usize> = table.columns.iter().map(String::as_str).zip(0..).collect();
        let mut found = BTreeSet::new();
        for row in &table.rows {
            let field = |column: &str| row.get(*place.get(column)?);
            let key = self.key_of(field);
            let Some(expected) = self.rows.get(&key) else {
                differences.add(|| format!("unexpected row {key}"), |d| &mut d.unexpected);
                continue;
            };
            for (column, wanted) in self.columns.iter().zip(expected) {
                differences.fields += 1;
                let actual = field(column).unwrap_or(&Value::Null);
                if !same(wanted, actual) {
                    let text = || format!("row {key}: {column} is {actual}, expected {wanted}");
                    differences.add(text, |d| &mut d.different);
                }
            }
            found.insert(key);
        }
        for key in self.rows.keys().filter(|key| !found.contains(*key)) {
            differences.add(|| format!("missing row {key}"), |d| &mut d.missing);
        }
        differences
    }

    /// The key as text: JSON of its values, in the order of the key's columns.
    fn key_of<'a>(&self, value: impl Fn(&str) -> Option<&'a Value>) -> String {
        let values: Vec<&Value> = self.key.iter().map(|column| value(column).unwrap_or(&Value::Null)).collect();
        serde_json::json!(values).to_string()
    }
}

/// Numbers are equal by value: a `float` column holds what fits.
fn same(wanted: &Value, actual: &Value) -> bool {
    wanted == actual || matches!((wanted.as_f64(), actual.as_f64()), (Some(a), Some(b)) if a == b)
}

/// How a table differs from the expected one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// Rows read.
    pub rows: usize,
    /// Fields compared.
    pub fields: usize,
    /// Rows that are not there.
    pub missing: usize,
    /// Rows that should not be there.
    pub unexpected: usize,
    /// Fields with another value.
    pub different: usize,
    /// The first of them, for people.
    pub first: Vec<String>,
}

impl Differences {
    /// All of them.
    pub fn total(&self) -> usize {
        self.missing + self.unexpected + self.different
    }

    fn add(&mut self, text: impl FnOnce() -> String, count: impl FnOnce(&mut Self) -> &mut usize) {
        if self.first.len() < DESCRIBED {
            self.first.push(text());
        }
        *count(self) += 1;
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Differences { rows, missing, unexpected, different, .. } = self;
        write!(f, "{rows} rows read; {missing} missing, {unexpected} unexpected, {different} fields different")?;
        self.first.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(k: i64, v: Option<i64>) -> Map<String, Value> {
        serde_json::json!({ "k": k, "v": v }).as_object().unwrap().clone()
    }

    fn table(rows: &[(i64, Option<i64>)]) -> Table {
        let rows = rows.iter().map(|(k, v)| vec![Value::from(*v), Value::from(*k)]).collect();
        Table { columns: vec!["v".to_owned(), "k".to_owned()], rows }
    }

    #[test]
    fn the_last_change_of_a_row_counts() {
        let mut expected = Expected::new(&["k", "v"], 1);
        for change in [
            Change::Upsert(row(1, Some(1))),
            Change::Upsert(row(2, Some(2))),
            Change::Upsert(row(1, None)),
            Change::Delete(row(2, None)),
            Change::Nothing,
        ] {
            expected.apply(change);
        }
        assert_eq!(expected.compare(&table(&[(1, None)])).total(), 0);
    }

    #[test]
    fn every_kind_of_difference_is_counted_and_described() {
        let mut expected = Expected::new(&["k", "v"], 1);
        (1..=3).for_each(|k| expected.apply(Change::Upsert(row(k, Some(k)))));
        let differences = expected.compare(&table(&[(1, Some(1)), (2, None), (4, Some(4))]));
        assert_eq!(
            differences.to_string(),
            "3 rows read; 1 missing, 1 unexpected, 1 fields different\n  row [2]: v is null, expected 2\n  \
             unexpected row [4]\n  missing row [3]"
        );
    }
}
