//! How deep and wide a statement is, measured before it is planned. The reader has a deep stack; the planner, the
//! evaluation and the drop of what is accepted have not.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    ArrayElemTypeDef, ColumnDef, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Query,
    SelectItem, SetExpr, Spanned, StructField, Value, Visit, Visitor,
};
use millstream_spec::types::MAX_DEPTH as MAX_TYPE_DEPTH;

use super::{MAX_CTES, MAX_OUTPUTS, too_large};
use crate::sql::{
    error::{CompileError, byte_range},
    weight::{MAX_DEPTH, MAX_NODES},
};

/// Functions that take the name of a type as a text.
const CASTS_BY_NAME: [&str; 2] = ["arrow_cast", "arrow_try_cast"];

/// Brackets in such a name: a type of one level may have a bracket in its own parameters.
const MAX_NAME_BRACKETS: usize = 2 * MAX_TYPE_DEPTH;

pub(super) fn check(query: &Query, sql: &str) -> Result<(), CompileError> {
    let mut size = Size::default();
    if let ControlFlow::Break(deep) = query.visit(&mut size) {
        let span = byte_range(sql, deep.span());
        return Err(too_large(format!("a type is nested more than {MAX_TYPE_DEPTH} deep"), span));
    }
    if size.deepest > MAX_DEPTH {
        let message = format!("an expression is nested {} levels deep, more than {MAX_DEPTH}", size.deepest);
        return Err(too_large(message, None));
    }
    if size.ctes > MAX_CTES {
        return Err(too_large(format!("there are {} WITH tables, more than {MAX_CTES}", size.ctes), None));
    }
    Ok(())
}

/// Checks the number of outputs of each SELECT, with `declared` columns for each `*` over `input`.
pub(super) fn check_outputs(query: &Query, declared: usize) -> Result<(), CompileError> {
    let mut outputs = Outputs::default();
    let _: ControlFlow<()> = query.visit(&mut outputs);
    let Outputs { selects, named, widest, stars_max } = outputs;
    let widest = widest + stars_max * declared;
    if widest > MAX_OUTPUTS {
        return Err(too_large(format!("a SELECT may have {widest} outputs, more than {MAX_OUTPUTS}"), None));
    }
    // `*` over a sub-select may stand for all that is named anywhere.
    let all = selects * if stars_max > 0 { named + declared } else { widest };
    if all > MAX_NODES {
        return Err(too_large(format!("{selects} SELECTs may have {all} outputs, more than {MAX_NODES}"), None));
    }
    Ok(())
}

#[derive(Default)]
struct Outputs {
    selects: usize,
    /// Outputs other than `*`, of all SELECTs.
    named: usize,
    /// Most of them in one SELECT.
    widest: usize,
    /// Most `*` in one SELECT.
    stars_max: usize,
}

impl Visitor for Outputs {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_ref() {
            let is_star =
                |item: &&SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
            let stars = select.projection.iter().filter(is_star).count();
            let named = select.projection.len() - stars;
            self.selects += 1;
            self.named += named;
            self.widest = self.widest.max(named);
            self.stars_max = self.stars_max.max(stars);
        }
        ControlFlow::Continue(())
    }
}

#[derive(Default)]
struct Size {
    depth: usize,
    deepest: usize,
    ctes: usize,
}

impl Visitor for Size {
    /// An expression with a type that is too deep.
    type Break = Box<Expr>;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth + chain(expr));
        if is_of_deep_type(expr) { ControlFlow::Break(Box::new(expr.clone())) } else { ControlFlow::Continue(()) }
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<Self::Break> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        self.ctes += query.with.as_ref().map_or(0, |with| with.cte_tables.len());
        ControlFlow::Continue(())
    }
}

/// How much deeper the planner makes what the parser gives as a list: `a['b']['c']`, `a.b.c`.
fn chain(expr: &Expr) -> usize {
    match expr {
        Expr::CompoundFieldAccess { access_chain, .. } => access_chain.len(),
        Expr::JsonAccess { path, .. } => path.path.len(),
        Expr::CompoundIdentifier(parts) => parts.len(),
        _ => 0,
    }
}

fn is_of_deep_type(expr: &Expr) -> bool {
    let is_deep = |ty: &DataType| depth(ty) > MAX_TYPE_DEPTH;
    match expr {
        Expr::Cast { data_type, .. } => is_deep(data_type),
        Expr::Convert { data_type, .. } => data_type.as_ref().is_some_and(is_deep),
        Expr::TypedString(text) => is_deep(&text.data_type),
        Expr::Struct { fields, .. } => fields.iter().any(|field| is_deep(&field.field_type)),
        Expr::Function(function) if is_cast_by_name(function) => {
            texts(function).any(|name| brackets(name) > MAX_NAME_BRACKETS)
        }
        _ => false,
    }
}

fn depth(ty: &DataType) -> usize {
    let of_fields = |fields: &[StructField]| fields.iter().map(|field| depth(&field.field_type)).max();
    let of_columns = |columns: &[ColumnDef]| columns.iter().map(|column| depth(&column.data_type)).max();
    let inner = match ty {
        DataType::Array(
            ArrayElemTypeDef::AngleBracket(item)
            | ArrayElemTypeDef::SquareBracket(item, _)
            | ArrayElemTypeDef::Parenthesis(item),
        )
        | DataType::Nullable(item)
        | DataType::LowCardinality(item) => Some(depth(item)),
        DataType::Map(key, value) => Some(depth(key).max(depth(value))),
        DataType::Struct(fields, _) | DataType::Tuple(fields) => of_fields(fields),
        DataType::Union(fields) => fields.iter().map(|field| depth(&field.field_type)).max(),
        DataType::Nested(columns) | DataType::Table(Some(columns)) => of_columns(columns),
        _ => None,
    };
    1 + inner.unwrap_or(0)
}

fn is_cast_by_name(function: &Function) -> bool {
    let name = function.name.to_string();
    CASTS_BY_NAME.iter().any(|cast| name.eq_ignore_ascii_case(cast))
}

fn texts(function: &Function) -> impl Iterator<Item = &str> {
    let args = match &function.args {
        FunctionArguments::List(list) => list.args.as_slice(),
        _ => &[],
    };
    args.iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.as_str()),
            _ => None,
        },
        _ => None,
    })
}

/// How deep the brackets of a type's name nest.
fn brackets(name: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for c in name.chars() {
        match c {
            '(' | '<' | '[' | '{' => depth += 1,
            ')' | '>' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}
