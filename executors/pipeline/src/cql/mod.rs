//! CQL types, the schema of a table, and the binding of a transform's output to it.

mod bind;
mod parse;
mod table;
#[cfg(test)]
mod tests;
mod types;

pub(crate) use bind::BoundTtl;
pub use bind::{BindError, Binding, BoundColumn, bind};
pub use parse::ParseTypeError;
pub use table::{ColumnKind, TableColumn, TableSchema};
pub use types::{CqlType, Udts};
