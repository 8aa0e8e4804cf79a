//! Logical expressions → physical expressions that fail where SQL says there is no answer.

use std::{cell::Cell, sync::Arc};

use arrow::{
    array::{Array, RecordBatch},
    datatypes::{DataType, Schema, SchemaRef, TimeUnit},
};
use datafusion_common::{
    DFSchema, DFSchemaRef, Result, ScalarValue,
    config::ConfigOptions,
    plan_err,
    tree_node::{Transformed, TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{
    ColumnarValue, Expr, Operator,
    execution_props::ExecutionProps,
    expr::ScalarFunction,
    physical_planning_context::PhysicalPlanningContext,
    simplify::{ExprSimplifyResult, SimplifyContext},
};
use datafusion_physical_expr::{
    PhysicalExpr, ScalarFunctionExpr, create_physical_expr,
    expressions::{BinaryExpr, CastExpr, Column, LikeExpr, Literal, NegativeExpr, TryCastExpr},
};

use super::{
    amplify::Cost,
    budget::Budget,
    call::Call,
    checked::{Check, Checked},
    effort,
    exact_cast::{ExactCast, is_text},
    input::INPUT,
    narrow,
    pairwise::{Pairwise, is_regex_match},
    weight::{self, MAX_NODES, Weight},
};
use crate::record::{BadReason, Fault, fault_in};

/// Most times a function call may be replaced by something simpler before it counts as final.
const MAX_SIMPLIFICATIONS: usize = 8;

/// Largest value that an expression over literals may have, in bytes: each row of a batch would hold it. A literal is
/// bounded likewise, by the length of the SQL.
const MAX_CONSTANT_BYTES: usize = 64 * 1024;

/// Most nodes of all physical expressions: a few for each that was written. Some are shared by several others
/// (`a BETWEEN b AND c` is two comparisons of one `a`) and count, as they are evaluated, once for each.
const MAX_PHYSICAL_NODES: usize = 4 * MAX_NODES;

const SECS_PER_DAY: i64 = 86_400;

/// Functions whose simplification joins literals, without a limit. They are evaluated as they are.
const JOINING: [&str; 2] = ["concat", "concat_ws"];

/// Compiles expressions over one schema.
pub(crate) struct Compiler<'b> {
    budget: &'b Budget,
    nodes: Cell<usize>,
    schema: SchemaRef,
    df_schema: DFSchemaRef,
    simplify: SimplifyContext,
    config: Arc<ConfigOptions>,
}

impl<'b> Compiler<'b> {
    pub(crate) fn new(schema: &SchemaRef, config: Arc<ConfigOptions>, budget: &'b Budget) -> Result<Self> {
        let df_schema = Arc::new(DFSchema::try_from_qualified_schema(INPUT, schema)?);
        let simplify = SimplifyContext::builder()
            .with_schema(Arc::clone(&df_schema))
            .with_config_options(Arc::clone(&config))
            .build();
        Ok(Compiler { budget, nodes: Cell::new(0), schema: Arc::clone(schema), df_schema, simplify, config })
    }

    /// An expression whose arithmetic fails instead of wrapping, whose divisions by zero fail for floats as well, and
    /// whose casts to whole numbers fail when a fraction would be lost.
    ///
    /// DataFusion's own constant folding is not used: it evaluates with wrapping arithmetic.
    pub(crate) fn compile(&self, expr: Expr) -> Result<Arc<dyn PhysicalExpr>> {
        let expr = expr.transform_up(|expr| self.simplify_call(expr))?.data;
        let expr = expr.transform_up(|expr| narrow::comparison(expr, &self.df_schema))?.data;
        let mut props = ExecutionProps::new();
        props.config_options = Some(Arc::clone(&self.config));
        let physical = create_physical_expr(&expr, &self.df_schema, &props, &PhysicalPlanningContext::default())?;
        self.count(&physical)?;
        Ok(physical.transform_up(|expr| self.harden(expr))?.data)
    }

    fn count(&self, physical: &Arc<dyn PhysicalExpr>) -> Result<()> {
        physical.apply(|_| {
            self.nodes.set(self.nodes.get() + 1);
            let is_too_large = self.nodes.get() > MAX_PHYSICAL_NODES;
            Ok(if is_too_large { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if self.nodes.get() > MAX_PHYSICAL_NODES { weight::too_large() } else { Ok(()) }
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
            if JOINING.contains(&func.name()) {
                expr = Expr::ScalarFunction(ScalarFunction { func, args });
                break;
            }
            match func.simplify(args, &self.simplify)? {
                ExprSimplifyResult::Simplified(simpler) => {
                    // It may hold an argument twice, and stand in an argument itself.
                    Weight::of(&simpler)?.check()?;
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
        check_width(&expr.data_type(&self.schema)?)?;
        let hardened = if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
            self.harden_binary(binary)?
        } else if let Some(cast) = expr.downcast_ref::<CastExpr>() {
            self.harden_cast(cast)?
        } else if let Some(cast) = expr.downcast_ref::<TryCastExpr>() {
            self.harden_try_cast(cast)?
        } else if let Some(negative) = expr.downcast_ref::<NegativeExpr>() {
            self.harden_negative(negative)?
        } else if expr.is::<ScalarFunctionExpr>() {
            Some(Arc::new(Call::new(Arc::clone(&expr), Arc::clone(&self.config))) as _)
        } else if expr.is::<LikeExpr>() {
            Some(Arc::new(Pairwise::new(Arc::clone(&expr))) as _)
        } else {
            None
        };
        let changed = hardened.is_some();
        let expr = hardened.unwrap_or(expr);
        match self.constant(&expr)? {
            Some(literal) => Ok(Transformed::yes(literal)),
            None => Ok(Transformed::new_transformed(expr, changed)),
        }
    }

    fn harden_binary(&self, binary: &BinaryExpr) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let check = match binary.op() {
            Operator::Plus | Operator::Minus | Operator::Multiply => Check::Finite,
            Operator::Divide | Operator::Modulo => Check::FiniteQuotient,
            op if *op == Operator::StringConcat || is_regex_match(op) => {
                return Ok(Some(Arc::new(Pairwise::new(Arc::new(binary.clone())))));
            }
            _ => return Ok(None),
        };
        let hardened = binary.clone().with_fail_on_overflow(true);
        let floating = hardened.data_type(&self.schema)?.is_floating();
        let hardened = Arc::new(hardened);
        Ok(Some(if floating { Arc::new(Checked::new(hardened, check)) } else { hardened }))
    }

    fn harden_cast(&self, cast: &CastExpr) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let from = cast.expr.data_type(&self.schema)?;
        if ExactCast::suits(&from, cast.cast_type()) {
            return Ok(Some(Arc::new(ExactCast::new(Arc::clone(&cast.expr), cast.cast_type().clone(), false))));
        }
        let Some(check) = check_of_cast(&from, cast.cast_type())? else { return Ok(None) };
        let checked = Arc::new(Checked::new(Arc::clone(&cast.expr), check));
        Ok(Some(Arc::new(CastExpr::new(checked, cast.cast_type().clone(), Some(cast.cast_options().clone())))))
    }

    /// What fails as CAST is NULL as TRY_CAST; what would be rounded is what fails as CAST.
    fn harden_try_cast(&self, cast: &TryCastExpr) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let from = cast.expr().data_type(&self.schema)?;
        if ExactCast::suits(&from, cast.cast_type()) {
            return Ok(Some(Arc::new(ExactCast::new(Arc::clone(cast.expr()), cast.cast_type().clone(), true))));
        }
        let Some(check) = check_of_cast(&from, cast.cast_type())? else { return Ok(None) };
        let checked = Arc::new(Checked::lenient(Arc::clone(cast.expr()), check));
        Ok(Some(Arc::new(TryCastExpr::new(checked, cast.cast_type().clone()))))
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
    /// One that is too large is refused wherever it stands: it would be the same for every record.
    fn constant(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let children = expr.children();
        if expr.is::<Column>() || children.is_empty() || !children.iter().all(|child| child.is::<Literal>()) {
            return Ok(None);
        }
        let row = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let read = children.iter().filter_map(|child| child.downcast_ref::<Literal>()).map(|l| l.value().size()).sum();
        let (what, cost) = cost_of(expr, &row)?;
        self.budget.spend(&what, read, cost)?;
        effort::begin();
        match expr.evaluate(&row) {
            Ok(ColumnarValue::Scalar(value)) => {
                let bytes = value.to_array()?.to_data().get_slice_memory_size()?;
                if bytes > MAX_CONSTANT_BYTES {
                    return plan_err!("a constant takes {bytes} bytes, more than {MAX_CONSTANT_BYTES}");
                }
                self.budget.keep(bytes)?;
                Ok(Some(Arc::new(Literal::new(value))))
            }
            Err(error) => match fault_in(&error) {
                Some(Fault { reason: BadReason::ResultTooLarge | BadReason::TooManySteps, detail }) => {
                    plan_err!("{detail}")
                }
                _ => Ok(None),
            },
            Ok(ColumnarValue::Array(_)) => Ok(None),
        }
    }
}

/// What it takes to compute an expression over literals, and what to call it.
fn cost_of(expr: &Arc<dyn PhysicalExpr>, row: &RecordBatch) -> Result<(String, Cost)> {
    if let Some(call) = expr.downcast_ref::<Call>() {
        return Ok((call.name(), call.cost(row)?));
    }
    if let Some(pair) = expr.downcast_ref::<Pairwise>() {
        return Ok((pair.name().to_owned(), pair.cost(row)?));
    }
    Ok(("an expression".to_owned(), Cost::default()))
}

/// What must hold of every value, so that a cast keeps it.
fn check_of_cast(from: &DataType, to: &DataType) -> Result<Option<Check>> {
    Ok(match (from, to) {
        (from, to) if from.is_floating() && to.is_integer() => Some(Check::Whole),
        (DataType::Decimal128(_, from), to) if to.is_integer() && *from > 0 => {
            Some(Check::Scale { from: *from, to: 0 })
        }
        (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) if from > to => {
            Some(Check::Scale { from: *from, to: *to })
        }
        (DataType::Timestamp(from, _), DataType::Timestamp(to, _)) if per_second(*from) > per_second(*to) => {
            Some(Check::Ticks(per_second(*from) / per_second(*to)))
        }
        (DataType::Date32, DataType::Timestamp(unit, _)) => {
            Some(Check::Days { ticks_per_day: SECS_PER_DAY * per_second(*unit) })
        }
        (from, DataType::Timestamp(..)) if from.is_integer() || from.is_floating() || is_decimal(from) => {
            return plan_err!("a number as TIMESTAMP does not say what it counts");
        }
        (from, to) if items(from).zip(items(to)).is_some_and(|(from, to)| loses(from, to)) => {
            return plan_err!("a cast of {from} to {to} may drop digits of its items");
        }
        (from, to) if rounds_wide(from, to) => {
            return plan_err!("a cast of {from} to {to} may drop digits: decimals have at most 38 here");
        }
        _ => None,
    })
}

/// What a list holds.
fn items(ty: &DataType) -> Option<&DataType> {
    match ty {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => Some(item.data_type()),
        _ => None,
    }
}

/// Whether some value of a type would not be kept by a cast without a check.
fn loses(from: &DataType, to: &DataType) -> bool {
    if let (DataType::Struct(from), DataType::Struct(to)) = (from, to) {
        return from.iter().zip(to).any(|(from, to)| loses(from.data_type(), to.data_type()));
    }
    from != to && (ExactCast::suits(from, to) || !matches!(check_of_cast(from, to), Ok(None)))
}

/// Whether a decimal of more than 38 digits could lose some, or be made from what has others.
fn rounds_wide(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::Decimal256(_, from), DataType::Decimal256(_, to) | DataType::Decimal128(_, to)) => from > to,
        (DataType::Decimal128(_, from), DataType::Decimal256(_, to)) => from > to,
        (DataType::Decimal256(_, from), to) => *from > 0 && to.is_integer(),
        (from, DataType::Decimal256(..)) => is_text(from) || from.is_floating(),
        _ => false,
    }
}

fn is_decimal(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..)
    )
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Refuses types whose every value, even NULL, takes as many bytes as the SQL says.
fn check_width(ty: &DataType) -> Result<()> {
    let width = match ty {
        DataType::FixedSizeBinary(width) => i64::from(*width),
        DataType::FixedSizeList(item, count) => {
            i64::from(*count).saturating_mul(item.data_type().primitive_width().unwrap_or(16) as i64)
        }
        _ => 0,
    };
    if width > MAX_CONSTANT_BYTES as i64 {
        return plan_err!("values of {ty} take {width} bytes each, more than {MAX_CONSTANT_BYTES}");
    }
    Ok(())
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
