//! How large expressions are, known before more of them are made.

use datafusion_common::{
    Result, plan_err,
    tree_node::{TreeNode, TreeNodeRecursion, TreeNodeVisitor},
};
use datafusion_expr::Expr;

/// Deepest nesting of expressions. The planner, the evaluation and even `drop` recurse over it, on whatever stack their
/// thread has; the parser itself limits all nesting but that of long chains (`a + b + c + …`).
pub(super) const MAX_DEPTH: usize = 250;

/// Most expression nodes after substitution. Each level of sub-selects may use a column of the level below several
/// times, and functions like `coalesce` their arguments, so that their number can double with every level.
pub(super) const MAX_NODES: usize = 20_000;

/// Most bytes of literals after substitution, for the same reason.
const MAX_LITERAL_BYTES: usize = 1024 * 1024;

/// Size of an expression, or of several.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Weight {
    nodes: usize,
    literal_bytes: usize,
    deepest: usize,
}

impl Weight {
    /// Of one that is too large, only as far as that is known.
    pub(super) fn of(expr: &Expr) -> Result<Weight> {
        let mut scales = Scales::default();
        expr.visit(&mut scales)?;
        Ok(scales.weight)
    }

    pub(super) fn add(&mut self, other: Weight) {
        self.nodes += other.nodes;
        self.literal_bytes += other.literal_bytes;
        self.deepest = self.deepest.max(other.deepest);
    }

    pub(super) fn check(self) -> Result<()> {
        if self.is_too_large() { too_large() } else { Ok(()) }
    }

    fn is_too_large(self) -> bool {
        self.nodes > MAX_NODES || self.literal_bytes > MAX_LITERAL_BYTES || self.deepest > MAX_DEPTH
    }
}

/// What is said of it, wherever it is found out.
pub(super) fn too_large() -> Result<()> {
    plan_err!("with its sub-selects and functions written out, the statement is too large")
}

#[derive(Default)]
struct Scales {
    weight: Weight,
    depth: usize,
}

impl TreeNodeVisitor<'_> for Scales {
    type Node = Expr;

    fn f_down(&mut self, expr: &Expr) -> Result<TreeNodeRecursion> {
        self.depth += 1;
        let literal_bytes = if let Expr::Literal(value, _) = expr { value.size() } else { 0 };
        self.weight.add(Weight { nodes: 1, literal_bytes, deepest: self.depth });
        Ok(if self.weight.is_too_large() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    }

    fn f_up(&mut self, _: &Expr) -> Result<TreeNodeRecursion> {
        self.depth -= 1;
        Ok(TreeNodeRecursion::Continue)
    }
}
