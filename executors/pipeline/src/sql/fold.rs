//! A plan of projections and filters over `input`, with CTEs and sub-selects substituted, as one list of filters and
//! one of outputs, all over the columns of `input` itself.

use std::sync::Arc;

use datafusion_common::{
    DFSchema, Result, not_impl_err,
    tree_node::{Transformed, TreeNode, TreeNodeRecursion, TreeNodeVisitor},
};
use datafusion_expr::{Expr, LogicalPlan, utils::split_conjunction_owned};

use super::refuse::MAX_DEPTH;

/// Most expression nodes after substitution. Each level of sub-selects may use a column of the level below several
/// times, so that their number can double with every level.
const MAX_NODES: usize = 20_000;

/// The folded plan.
pub(crate) struct Folded {
    /// In order of evaluation: each sees only rows all before it kept, so that a guard protects what comes after it.
    pub(crate) filters: Vec<Expr>,
    pub(crate) outputs: Vec<Expr>,
}

pub(crate) fn fold(plan: LogicalPlan) -> Result<Folded> {
    match plan {
        LogicalPlan::TableScan(scan) if scan.filters.is_empty() && scan.fetch.is_none() => {
            let columns = scan.projected_schema.columns();
            Ok(Folded { filters: vec![], outputs: columns.into_iter().map(Expr::Column).collect() })
        }
        LogicalPlan::SubqueryAlias(alias) => fold(Arc::unwrap_or_clone(alias.input)),
        LogicalPlan::Projection(projection) => {
            let schema = projection.input.schema().clone();
            let below = fold(Arc::unwrap_or_clone(projection.input))?;
            let outputs = projection.expr.into_iter().map(|expr| substitute(expr, &schema, &below.outputs));
            let outputs = outputs.collect::<Result<Vec<_>>>()?;
            check_size(&outputs)?;
            Ok(Folded { filters: below.filters, outputs })
        }
        LogicalPlan::Filter(filter) => {
            let schema = filter.input.schema().clone();
            let mut folded = fold(Arc::unwrap_or_clone(filter.input))?;
            for test in split_conjunction_owned(filter.predicate) {
                folded.filters.push(substitute(test, &schema, &folded.outputs)?);
            }
            check_size(&folded.filters)?;
            Ok(folded)
        }
        other => not_impl_err!("`{}` is not a projection or filter over input", other.display()),
    }
}

/// `expr` over `schema` as an expression over `input`, given what each column of `schema` is over `input`.
fn substitute(expr: Expr, schema: &DFSchema, columns: &[Expr]) -> Result<Expr> {
    expr.transform_up(|expr| match expr {
        Expr::Column(column) => {
            let index = schema.index_of_column(&column)?;
            Ok(Transformed::yes(columns[index].clone().unalias_nested().data))
        }
        other => Ok(Transformed::no(other)),
    })
    .map(|transformed| transformed.data)
}

fn check_size(exprs: &[Expr]) -> Result<()> {
    let mut size = Size::default();
    for expr in exprs {
        expr.visit(&mut size)?;
    }
    if size.too_large() {
        not_impl_err!("with its sub-selects substituted, the statement is too large")
    } else {
        Ok(())
    }
}

/// Measures expressions, and stops when they are too large.
#[derive(Default)]
struct Size {
    nodes: usize,
    depth: usize,
    deepest: usize,
}

impl Size {
    fn too_large(&self) -> bool {
        self.nodes > MAX_NODES || self.deepest > MAX_DEPTH
    }
}

impl TreeNodeVisitor<'_> for Size {
    type Node = Expr;

    fn f_down(&mut self, _: &Expr) -> Result<TreeNodeRecursion> {
        self.nodes += 1;
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        Ok(if self.too_large() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    }

    fn f_up(&mut self, _: &Expr) -> Result<TreeNodeRecursion> {
        self.depth -= 1;
        Ok(TreeNodeRecursion::Continue)
    }
}
