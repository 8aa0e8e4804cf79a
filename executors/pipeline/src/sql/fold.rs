//! A plan of projections and filters over `input`, with CTEs and sub-selects substituted, as one list of filters and
//! one of outputs, all over the columns of `input` itself.

use std::sync::Arc;

use datafusion_common::{
    DFSchema, Result, not_impl_err,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{Expr, LogicalPlan, utils::split_conjunction_owned};

use super::weight::Weight;

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
            let mut substitute = Substitute::new(&schema, &below.outputs)?;
            let outputs = projection.expr.into_iter().map(|expr| substitute.run(expr));
            let outputs = outputs.collect::<Result<Vec<_>>>()?;
            check(&outputs)?;
            Ok(Folded { filters: below.filters, outputs })
        }
        LogicalPlan::Filter(filter) => {
            let schema = filter.input.schema().clone();
            let mut folded = fold(Arc::unwrap_or_clone(filter.input))?;
            let mut substitute = Substitute::new(&schema, &folded.outputs)?;
            for test in split_conjunction_owned(filter.predicate) {
                folded.filters.push(substitute.run(test)?);
            }
            check(&folded.filters)?;
            Ok(folded)
        }
        other => not_impl_err!("`{}` is not a projection or filter over input", other.display()),
    }
}

/// Makes expressions over `schema` expressions over `input`, given what each column of `schema` is over `input`.
struct Substitute<'a> {
    schema: &'a DFSchema,
    columns: &'a [Expr],
    weights: Vec<Weight>,
    /// All that has been put in.
    total: Weight,
}

impl<'a> Substitute<'a> {
    fn new(schema: &'a DFSchema, columns: &'a [Expr]) -> Result<Self> {
        let weights = columns.iter().map(Weight::of).collect::<Result<_>>()?;
        Ok(Substitute { schema, columns, weights, total: Weight::default() })
    }

    fn run(&mut self, expr: Expr) -> Result<Expr> {
        expr.transform_up(|expr| match expr {
            Expr::Column(column) => {
                let index = self.schema.index_of_column(&column)?;
                // Before it is copied: a wide expression in a wide one would be their product.
                self.total.add(self.weights[index]);
                self.total.check()?;
                Ok(Transformed::yes(self.columns[index].clone().unalias_nested().data))
            }
            other => Ok(Transformed::no(other)),
        })
        .map(|transformed| transformed.data)
    }
}

fn check(exprs: &[Expr]) -> Result<()> {
    let mut total = Weight::default();
    for expr in exprs {
        total.add(Weight::of(expr)?);
    }
    total.check()
}
