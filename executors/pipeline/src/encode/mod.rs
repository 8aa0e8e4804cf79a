//! Arrow columns → CQL wire format (native protocol v5, section 6: the same bytes in v4).
//!
//! Which conversion a column takes is decided once, when it is bound ([`Encoder::compile`]); a batch's arrays are
//! then attached to it ([`Encoder::attach`]), and each value is written by one match on what was decided.
//!
//! Map: [`plan`] which types suit which · [`column`] typed arrays and the writing of a value · [`from_text`],
//! [`from_number`] values that need care · [`wire`] the byte forms · [`big`] whole numbers without limit.

mod big;
mod column;
mod from_number;
mod from_text;
mod plan;
#[cfg(test)]
mod tests;
mod wire;

use arrow::{array::ArrayRef, datatypes::DataType};

use crate::cql::CqlType;
pub(crate) use column::Column;
use plan::Plan;
pub(crate) use plan::Unsuited;

/// How one output column becomes one table column.
#[derive(Debug)]
pub(crate) struct Encoder {
    plan: Plan,
}

impl Encoder {
    /// Decides how values of an Arrow type are written as values of a CQL type; refuses what could only be a mistake.
    pub(crate) fn compile(source: &DataType, target: &CqlType) -> Result<Encoder, Unsuited> {
        Ok(Encoder { plan: Plan::new(source, target)? })
    }

    /// The values of a batch, ready to be written. `values` must have the type the encoder was compiled for.
    pub(crate) fn attach(&self, values: &ArrayRef) -> Column {
        Column::new(&self.plan, values)
    }
}
