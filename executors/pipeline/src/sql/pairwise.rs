//! `||`, `LIKE` and `~`: operators whose result or whose steps are bounded before they are made.

use std::{fmt, hash::Hash, sync::Arc};

use arrow::{
    array::{Array, RecordBatch, RecordBatchOptions},
    datatypes::{Field, Schema},
};
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::{
    PhysicalExpr,
    expressions::{BinaryExpr, Column, LikeExpr, Literal},
};

use super::{
    amplify::{self, Cost},
    inner::as_inner,
};

/// Such an operator.
#[derive(Debug, Eq)]
pub(crate) struct Pairwise {
    inner: Arc<dyn PhysicalExpr>,
}

impl Pairwise {
    /// Around a [`LikeExpr`], or a [`BinaryExpr`] of which [`is_regex_match`] or that concatenates.
    pub(crate) fn new(inner: Arc<dyn PhysicalExpr>) -> Self {
        Pairwise { inner }
    }

    /// Of constants alone.
    pub(crate) fn cost(&self, row: &RecordBatch) -> Result<Cost> {
        let (left, right) = self.sides(row)?;
        match self.is_concat() {
            // What is made of both is what is read of both.
            true => Ok(Cost::default()),
            false => amplify::cost_of_match(&left, &right),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self.is_concat() {
            true => "||",
            false if self.inner.is::<LikeExpr>() => "LIKE",
            false => "~",
        }
    }

    fn is_concat(&self) -> bool {
        self.inner.downcast_ref::<BinaryExpr>().is_some_and(|binary| *binary.op() == Operator::StringConcat)
    }

    fn sides(&self, batch: &RecordBatch) -> Result<(ColumnarValue, ColumnarValue)> {
        let children = self.inner.children();
        let [left, right] = children.as_slice() else {
            return Err(DataFusionError::Internal("an operator has two sides".to_owned()));
        };
        Ok((left.evaluate(batch)?, right.evaluate(batch)?))
    }
}

/// Whether an operator matches a text with a regex.
pub(crate) fn is_regex_match(op: &Operator) -> bool {
    use Operator::{RegexIMatch, RegexMatch, RegexNotIMatch, RegexNotMatch};
    matches!(op, RegexMatch | RegexIMatch | RegexNotMatch | RegexNotIMatch)
}

impl PhysicalExpr for Pairwise {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let (left, right) = self.sides(batch)?;
        let constant = matches!((&left, &right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { batch.num_rows() };
        match self.is_concat() {
            true => amplify::check_concat(&left, &right, rows)?,
            false => amplify::check_match(self.name(), &left, &right, rows)?,
        }
        let sides = Sides::new(left, right, batch)?;
        Arc::clone(&self.inner).with_new_children(vec![sides.left, sides.right])?.evaluate(&sides.batch)
    }

    as_inner!();

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.inner.children()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Pairwise::new(Arc::clone(&self.inner).with_new_children(children)?)))
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

impl PartialEq for Pairwise {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Hash for Pairwise {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Pairwise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}
