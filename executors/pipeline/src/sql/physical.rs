//! Logical expressions → physical expressions that fail where SQL says there is no answer.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Schema, SchemaRef},
};
use datafusion_common::{
    DFSchema, DFSchemaRef, Result, ScalarValue,
    config::ConfigOptions,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    ColumnarValue, Expr, Operator,
    execution_props::ExecutionProps,
    expr::ScalarFunction,
    physical_planning_context::PhysicalPlanningContext,
    simplify::{ExprSimplifyResult, SimplifyContext},
};
use datafusion_physical_expr::{
    PhysicalExpr, create_physical_expr,
    expressions::{BinaryExpr, CastExpr, Column, Literal, NegativeExpr},
};

use super::{
    checked::{Check, Checked},
    input::INPUT,
};

/// Most times a function call may be replaced by something simpler before it counts as final.
const MAX_SIMPLIFICATIONS: usize = 8;

/// Compiles expressions over one schema.
pub(crate) struct Compiler {
    schema: SchemaRef,
    df_schema: DFSchemaRef,
    simplify: SimplifyContext,
    config: Arc<ConfigOptions>,
}

impl Compiler {
    pub(crate) fn new(schema: &SchemaRef, config: Arc<ConfigOptions>) -> Result<Self> {
        let df_schema = Arc::new(DFSchema::try_from_qualified_schema(INPUT, schema)?);
        let simplify = SimplifyContext::builder()
            .with_schema(Arc::clone(&df_schema))
            .with_config_options(Arc::clone(&config))
            .build();
        Ok(Compiler { schema: Arc::clone(schema), df_schema, simplify, config })
    }

    /// An expression whose arithmetic fails instead of wrapping, whose divisions by zero fail for floats as well, and
    /// whose casts to whole numbers fail when a fraction would be lost.
    ///
    /// DataFusion's own constant folding is not used: it evaluates with wrapping arithmetic.
    pub(crate) fn compile(&self, expr: Expr) -> Result<Arc<dyn PhysicalExpr>> {
        let expr = expr.transform_up(|expr| self.simplify_call(expr))?.data;
        let mut props = ExecutionProps::new();
        props.config_options = Some(Arc::clone(&self.config));
        let physical = create_physical_expr(&expr, &self.df_schema, &props, &PhysicalPlanningContext::default())?;
        Ok(physical.transform_up(|expr| self.harden(expr))?.data)
    }

    /// Like [`compile`](Self::compile), and in one of the layouts the encoders know.
    pub(crate) fn compile_output(&self, expr: Expr) -> Result<Arc<dyn PhysicalExpr>> {
        let physical = self.compile(expr)?;
        let ty = physical.data_type(&self.schema)?;
        let plain = plain_layout(&ty);
        if plain == ty { Ok(physical) } else { Ok(Arc::new(CastExpr::new(physical, plain, None))) }
    }

    /// Replaces functions that only exist as another expression (`coalesce` is a CASE).
    fn simplify_call(&self, mut expr: Expr) -> Result<Transformed<Expr>> {
        let mut changed = false;
        for _ in 0..MAX_SIMPLIFICATIONS {
            let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { break };
            match func.simplify(args, &self.simplify)? {
                ExprSimplifyResult::Simplified(simpler) => {
                    expr = simpler;
                    changed = true;
                }
                ExprSimplifyResult::Original(args) => {
                    expr = Expr::ScalarFunction(ScalarFunction { func, args });
                    break;
                }
            }
        }
        Ok(Transformed::new_transformed(expr, changed))
    }

    fn harden(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Transformed<Arc<dyn PhysicalExpr>>> {
        let hardened = if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
            self.harden_binary(binary)?
        } else if let Some(cast) = expr.downcast_ref::<CastExpr>() {
            self.harden_cast(cast)?
        } else if let Some(negative) = expr.downcast_ref::<NegativeExpr>() {
            self.harden_negative(negative)?
        } else {
            None
        };
        let changed = hardened.is_some();
        let expr = hardened.unwrap_or(expr);
        match self.constant(&expr) {
            Some(literal) => Ok(Transformed::yes(literal)),
            None => Ok(Transformed::new_transformed(expr, changed)),
        }
    }

    fn harden_binary(&self, binary: &BinaryExpr) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let check = match binary.op() {
            Operator::Plus | Operator::Minus | Operator::Multiply => Check::Finite,
            Operator::Divide | Operator::Modulo => Check::FiniteQuotient,
            _ => return Ok(None),
        };
        let hardened = binary.clone().with_fail_on_overflow(true);
        let floating = hardened.data_type(&self.schema)?.is_floating();
        let hardened = Arc::new(hardened);
        Ok(Some(if floating { Arc::new(Checked::new(hardened, check)) } else { hardened }))
    }

    fn harden_cast(&self, cast: &CastExpr) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let check = match (cast.expr.data_type(&self.schema)?, cast.cast_type()) {
            (from, to) if from.is_floating() && to.is_integer() => Check::Whole,
            (DataType::Decimal128(_, from), to) if to.is_integer() && from > 0 => Check::Scale { from, to: 0 },
            (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) if from > *to => {
                Check::Scale { from, to: *to }
            }
            _ => return Ok(None),
        };
        let checked = Arc::new(Checked::new(Arc::clone(&cast.expr), check));
        Ok(Some(Arc::new(CastExpr::new(checked, cast.cast_type().clone(), Some(cast.cast_options().clone())))))
    }

    fn harden_negative(&self, negative: &NegativeExpr) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let ty = negative.arg().data_type(&self.schema)?;
        if !ty.is_integer() {
            return Ok(None);
        }
        let zero = Arc::new(Literal::new(ScalarValue::new_zero(&ty)?));
        let difference = BinaryExpr::new(zero, Operator::Minus, Arc::clone(negative.arg()));
        Ok(Some(Arc::new(difference.with_fail_on_overflow(true))))
    }

    /// The value of an expression over literals. One that fails stays as it is: it may stand where it is never reached.
    fn constant(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>> {
        let children = expr.children();
        if expr.is::<Column>() || children.is_empty() || !children.iter().all(|child| child.is::<Literal>()) {
            return None;
        }
        let row = RecordBatch::new_empty(Arc::new(Schema::empty()));
        match expr.evaluate(&row) {
            Ok(ColumnarValue::Scalar(value)) => Some(Arc::new(Literal::new(value))),
            _ => None,
        }
    }
}

/// The layout the encoders know for values of `ty`.
fn plain_layout(ty: &DataType) -> DataType {
    match ty {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Dictionary(_, value) => plain_layout(value),
        DataType::Float16 => DataType::Float32,
        other => other.clone(),
    }
}
