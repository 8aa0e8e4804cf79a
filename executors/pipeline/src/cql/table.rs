//! The schema of a table, as it is read from the cluster (or written down by a test).

use super::CqlType;

/// A table and its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSchema {
    /// Keyspace, in its true case.
    pub keyspace: String,
    /// Table, in its true case.
    pub table: String,
    /// All columns, in any order.
    pub columns: Vec<TableColumn>,
    /// It is a materialised view, which cannot be written.
    pub is_view: bool,
    /// Change data capture of Scylla is on for it (or it is such a log): repeated writes would show there.
    pub cdc: bool,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name, in its true case.
    pub name: String,
    /// Its type.
    pub ty: CqlType,
    /// Its part in the table.
    pub kind: ColumnKind,
}

/// A column's part in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ColumnKind {
    /// The n-th partition-key column, from 0.
    PartitionKey(usize),
    /// The n-th clustering column, from 0.
    Clustering(usize),
    /// One value for a whole partition.
    Static,
    /// Everything else.
    Regular,
}

impl ColumnKind {
    /// Whether it belongs to the primary key.
    pub fn is_key(self) -> bool {
        matches!(self, ColumnKind::PartitionKey(_) | ColumnKind::Clustering(_))
    }
}
