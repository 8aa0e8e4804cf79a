//! Comparisons of timestamps in milliseconds instead of nanoseconds.
//!
//! DataFusion brings a timestamp and a text, or a date, to nanoseconds, which end in the year 2262: `ts < '9999-12-31'`
//! would fail for every record.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::{DFSchema, Result, datatype::DataTypeExt, tree_node::Transformed};
use datafusion_expr::{Between, BinaryExpr, Cast, Expr, ExprSchemable, Operator, expr::InList};

const FINE: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);
const COARSE: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// The comparison in milliseconds, when all that it compares has no more.
pub(crate) fn comparison(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let narrowed = match &expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(*op) => {
            narrow([left.as_ref(), right.as_ref()], schema)?.map(|[left, right]| {
                Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op: *op, right: Box::new(right) })
            })
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            narrow([expr.as_ref(), low.as_ref(), high.as_ref()], schema)?.map(|[expr, low, high]| {
                Expr::Between(Between {
                    expr: Box::new(expr),
                    negated: *negated,
                    low: Box::new(low),
                    high: Box::new(high),
                })
            })
        }
        Expr::InList(InList { expr, list, negated }) => {
            let mut parts = Vec::with_capacity(list.len() + 1);
            for part in std::iter::once(expr.as_ref()).chain(list) {
                parts.push(coarse(part, schema)?);
            }
            parts.into_iter().collect::<Option<Vec<_>>>().map(|mut parts| {
                let list = parts.split_off(1);
                Expr::InList(InList { expr: Box::new(parts.swap_remove(0)), list, negated: *negated })
            })
        }
        _ => None,
    };
    Ok(match narrowed {
        Some(narrowed) => Transformed::yes(narrowed),
        None => Transformed::no(expr),
    })
}

fn narrow<const N: usize>(parts: [&Expr; N], schema: &DFSchema) -> Result<Option<[Expr; N]>> {
    let mut coarse_parts = Vec::with_capacity(N);
    for part in parts {
        match coarse(part, schema)? {
            Some(part) => coarse_parts.push(part),
            None => return Ok(None),
        }
    }
    Ok(coarse_parts.try_into().ok())
}

/// `part` in milliseconds, when it was only brought to nanoseconds for the comparison.
fn coarse(part: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let Expr::Cast(cast) = part else { return Ok(None) };
    if *cast.field.data_type() != FINE {
        return Ok(None);
    }
    Ok(match cast.expr.get_type(schema)? {
        COARSE => Some(cast.expr.as_ref().clone()),
        DataType::Utf8
        | DataType::Utf8View
        | DataType::LargeUtf8
        | DataType::Date32
        | DataType::Timestamp(TimeUnit::Second, None) => {
            Some(Expr::Cast(Cast::new_from_field(cast.expr.clone(), COARSE.into_nullable_field_ref())))
        }
        _ => None,
    })
}

fn compares(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}
