//! Bytes → Arrow [`RecordBatch`](arrow::array::RecordBatch) → SQL → rows with CQL types. Pure: no IO, clock or
//! randomness, so that the same records always give the same rows (delivery.md, D2).
//!
//! Map:
//! * [`record`]: what goes in, and the closed list of why a record may be bad
//! * `decode`: JSON straight into Arrow columns; a bad record leaves no trace in them
//! * `sql`: [`Transform`]: SQL text → one chain of filters and projections over a batch, and their evaluation
//! * [`cql`]: types, table schema, and the [`Binding`] of output columns to table columns
//! * `encode`: Arrow columns → CQL wire format, range-checked
//! * [`processor`]: the three steps over a batch, isolating bad records
//! * [`rows`]: what comes out
//!
//! Architecture Invariant: one bad record never changes what becomes of another, however records are cut into batches.

pub mod cql;
mod decode;
mod encode;
mod numbers;
pub mod processor;
pub mod record;
pub mod rows;
mod sql;
mod suggest;
mod temporal;

pub use cql::{BindError, Binding, BoundColumn, ColumnKind, CqlType, TableColumn, TableSchema, Udts, bind};
pub use processor::{Decoded, Processed, Processor, Transformed};
pub use record::{BadReason, BadRecord, Header, Record};
pub use rows::{Cell, Row, RowKind, Rows};
pub use sql::{CompileError, Transform};
