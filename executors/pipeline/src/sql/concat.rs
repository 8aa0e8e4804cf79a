//! `||`, whose result is bounded before it is made.

use std::{fmt, hash::Hash, sync::Arc};

use arrow::{
    array::{Array, RecordBatch, RecordBatchOptions},
    datatypes::{Field, FieldRef, Schema},
};
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::{
    PhysicalExpr,
    expressions::{BinaryExpr, Column, Literal},
};

use super::amplify;

/// A concatenation.
#[derive(Debug, Eq)]
pub(crate) struct Concat {
    inner: Arc<dyn PhysicalExpr>,
}

impl Concat {
    /// `inner` is a [`BinaryExpr`].
    pub(crate) fn new(inner: Arc<dyn PhysicalExpr>) -> Self {
        Concat { inner }
    }
}

impl PhysicalExpr for Concat {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let Some(binary) = self.inner.downcast_ref::<BinaryExpr>() else {
            return Err(DataFusionError::Internal("a concatenation has two sides".to_owned()));
        };
        let (left, right) = (binary.left().evaluate(batch)?, binary.right().evaluate(batch)?);
        let constant = matches!((&left, &right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        amplify::check_concat(&left, &right, if constant { 1 } else { batch.num_rows() })?;
        let sides = Sides::new(left, right, batch)?;
        BinaryExpr::new(sides.left, *binary.op(), sides.right).evaluate(&sides.batch)
    }

    // Type and nullability follow from it.
    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.inner.children()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Concat::new(Arc::clone(&self.inner).with_new_children(children)?)))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

/// Both sides as evaluated, so that neither is evaluated twice (which would double with every `||` of a chain).
struct Sides {
    left: Arc<dyn PhysicalExpr>,
    right: Arc<dyn PhysicalExpr>,
    batch: RecordBatch,
}

impl Sides {
    fn new(left: ColumnarValue, right: ColumnarValue, batch: &RecordBatch) -> Result<Self> {
        let (mut fields, mut columns) = (vec![], vec![]);
        let mut side = |value: ColumnarValue| -> Arc<dyn PhysicalExpr> {
            match value {
                ColumnarValue::Scalar(value) => Arc::new(Literal::new(value)),
                ColumnarValue::Array(array) => {
                    let name = if columns.is_empty() { "left" } else { "right" };
                    fields.push(Field::new(name, array.data_type().clone(), true));
                    columns.push(array);
                    Arc::new(Column::new(name, columns.len() - 1))
                }
            }
        };
        let (left, right) = (side(left), side(right));
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
        Ok(Sides { left, right, batch })
    }
}

impl PartialEq for Concat {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Hash for Concat {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Concat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}
