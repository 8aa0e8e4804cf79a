//! Reads the statement and refuses what is not one SELECT, row by row and purely, over `input`: with the place in the
//! text, a reason and a remedy. What passes here may still be refused by the planner (unknown columns, types).

use std::ops::{ControlFlow, Range};

use datafusion_sql::sqlparser::{
    ast::{
        self, Cte, Distinct, Expr, Function, GroupByExpr, Ident, ObjectName, Query, Select, SetExpr, Spanned,
        Statement, TableFactor, Visit, Visitor,
    },
    dialect::GenericDialect,
    parser::Parser,
    tokenizer::{Span, Token, TokenWithSpan, Tokenizer},
};

use super::{
    error::{CompileError, byte_range},
    functions::{Functions, Named},
    input::{INPUT, Input},
    weight::MAX_NODES,
};
use crate::suggest::did_you_mean;

mod size;
mod wildcard;

/// Longest SQL text, in bytes: far beyond what a person writes.
const MAX_SQL_BYTES: usize = 64 * 1024;

/// Most tokens, blanks and comments among them: two for each node that an expression may have.
const MAX_TOKENS: usize = 2 * MAX_NODES;

/// Deepest nesting of brackets: the parser gives up at its 50th level of expressions.
const MAX_BRACKETS: usize = 100;

/// Most outputs of a SELECT: the planner looks each one up among those below it.
const MAX_OUTPUTS: usize = 2_000;

/// Most CTEs in a statement: each may make the plan one level deeper.
const MAX_CTES: usize = 64;

const PURE: &str = "the table must be a pure function of the log, so that a replay writes the same rows";
const ROW_BY_ROW: &str = "a transform works on each record by itself";

/// Reads `sql`, checks it, and replaces `*` over `input` by the declared columns.
pub(crate) fn parse(sql: &str, input: &Input) -> Result<Statement, CompileError> {
    if sql.len() > MAX_SQL_BYTES {
        return Err(too_large(format!("the SQL text has {} bytes, more than {MAX_SQL_BYTES}", sql.len()), None));
    }
    let mut query = read(sql)?;
    let checker = Checker { sql, input, functions: Functions::new() };
    checker.query(&query, &mut vec![])?;
    checker.expressions(&query)?;
    size::check_outputs(&query, input.declared().count())?;
    wildcard::expand(&mut query, input).map_err(|refused| checker.refuse(refused.0, refused.1, refused.2))?;
    Ok(Statement::Query(query))
}

/// Reads one SELECT that is not too deep.
fn read(sql: &str) -> Result<Box<Query>, CompileError> {
    let mut statements = Parser::new(&GenericDialect {})
        .with_tokens_with_locations(tokens(sql)?)
        .parse_statements()
        .map_err(|error| CompileError::from_parser(&error, sql))?;
    let statement = match statements.len() {
        0 => Err(CompileError::new("the SQL text is empty", "write SELECT … FROM input", None)),
        1 => Ok(statements.swap_remove(0)),
        count => Err(CompileError::new(format!("there are {count} statements"), "write one SELECT", None)),
    }?;
    let Statement::Query(query) = statement else {
        return Err(CompileError::new("this is not a SELECT", "write SELECT … FROM input", None));
    };
    size::check(&query, sql)?;
    Ok(query)
}

/// Tokens whose brackets nest no deeper than the parser can tell.
fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, CompileError> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location();
    let tokens = tokens.map_err(|error| CompileError::from_parser(&error.into(), sql))?;
    if tokens.len() > MAX_TOKENS {
        return Err(too_large(format!("the SQL text has {} tokens, more than {MAX_TOKENS}", tokens.len()), None));
    }
    let mut depth = 0usize;
    for TokenWithSpan { token, span } in &tokens {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_BRACKETS {
            return Err(too_large(format!("brackets nest more than {MAX_BRACKETS} deep"), byte_range(sql, *span)));
        }
    }
    Ok(tokens)
}

fn too_large(message: String, span: Option<Range<usize>>) -> CompileError {
    CompileError::new(message, "make it smaller: write long chains of OR as IN (…), or split the job", span)
}

struct Checker<'a> {
    sql: &'a str,
    input: &'a Input,
    functions: Functions,
}

impl Checker<'_> {
    fn refuse(&self, message: impl Into<String>, help: impl Into<String>, span: Span) -> CompileError {
        CompileError::new(message, help, byte_range(self.sql, span))
    }

    /// A clause that is not there is fine.
    fn none<T: Spanned>(&self, clause: Option<&T>, what: &str, help: &str) -> Result<(), CompileError> {
        clause.map_or(Ok(()), |clause| {
            Err(self.refuse(format!("{what} in a transform; {ROW_BY_ROW}"), help, clause.span()))
        })
    }

    /// Checks a query, given the names of the CTEs it sees.
    fn query(&self, query: &Query, ctes: &mut Vec<String>) -> Result<(), CompileError> {
        let outer = ctes.len();
        if let Some(with) = &query.with {
            if with.recursive {
                let help = "write a plain WITH";
                return Err(self.refuse("WITH RECURSIVE in a transform", help, with.with_token.0.span));
            }
            for Cte { alias, query, .. } in &with.cte_tables {
                self.query(query, ctes)?;
                ctes.push(normalized(&alias.name));
            }
        }
        self.none(query.order_by.as_ref(), "ORDER BY", "remove it: the table's clustering order sorts the rows")?;
        self.none(query.limit_clause.as_ref(), "LIMIT", "remove it, or select the records wanted with WHERE")?;
        if query.fetch.is_some() || !query.locks.is_empty() || query.for_clause.is_some() {
            return Err(self.refuse("FETCH or FOR in a transform", "remove it", query.body.span()));
        }
        let plain = query.settings.is_none() && query.format_clause.is_none() && query.pipe_operators.is_empty();
        if !plain {
            return Err(self.refuse("SETTINGS, FORMAT or |> in a transform", "remove it", query.body.span()));
        }
        self.set_expr(&query.body, ctes)?;
        ctes.truncate(outer);
        Ok(())
    }

    fn set_expr(&self, body: &SetExpr, ctes: &mut Vec<String>) -> Result<(), CompileError> {
        match body {
            SetExpr::Select(select) => self.select(select, ctes),
            SetExpr::Query(query) => self.query(query, ctes),
            SetExpr::SetOperation { op, .. } => Err(self.refuse(
                format!("{op} in a transform; one record gives at most one row"),
                "write one SELECT, or one job for each branch",
                body.span(),
            )),
            _ => Err(self.refuse("this is not a SELECT over input", "write SELECT … FROM input", body.span())),
        }
    }

    fn select(&self, select: &Select, ctes: &mut Vec<String>) -> Result<(), CompileError> {
        let keyword = select.select_token.0.span;
        if matches!(select.distinct, Some(Distinct::Distinct | Distinct::On(_))) {
            let help = "remove it: rows of equal primary key replace each other in the table anyway";
            return Err(self.refuse(format!("DISTINCT in a transform; {ROW_BY_ROW}"), help, keyword));
        }
        if let GroupByExpr::Expressions(exprs, modifiers) = &select.group_by {
            if let (Some(first), Some(last)) = (exprs.first(), exprs.last()) {
                let span = first.span().union(&last.span());
                return Err(self.refuse(format!("GROUP BY in a transform; {ROW_BY_ROW}"), "remove it", span));
            }
            if !modifiers.is_empty() {
                return Err(self.refuse("GROUP BY in a transform", "remove it", keyword));
            }
        } else {
            return Err(self.refuse(format!("GROUP BY in a transform; {ROW_BY_ROW}"), "remove it", keyword));
        }
        self.none(select.having.as_ref(), "HAVING", "write the condition with WHERE")?;
        self.none(select.qualify.as_ref(), "QUALIFY", "write the condition with WHERE")?;
        self.none(select.prewhere.as_ref(), "PREWHERE", "write the condition with WHERE")?;
        let plain = select.top.is_none()
            && select.into.is_none()
            && select.exclude.is_none()
            && select.lateral_views.is_empty()
            && select.connect_by.is_empty()
            && select.cluster_by.is_empty()
            && select.distribute_by.is_empty()
            && select.sort_by.is_empty()
            && select.named_window.is_empty()
            && select.value_table_mode.is_none();
        if !plain {
            let help = "write SELECT expressions FROM input WHERE condition";
            return Err(self.refuse("a clause that a transform cannot have", help, keyword));
        }
        match select.from.as_slice() {
            [] => Err(self.refuse("there is no FROM", "add FROM input", keyword)),
            [table] => {
                if let Some(join) = table.joins.first() {
                    let help = "put what belongs together into one record before it reaches the topic";
                    return Err(self.refuse(format!("JOIN in a transform; {ROW_BY_ROW}"), help, join.relation.span()));
                }
                self.table(&table.relation, ctes)
            }
            [_, second, ..] => Err(self.refuse(
                "more than one table in FROM",
                format!("select from `{INPUT}` alone"),
                second.relation.span(),
            )),
        }
    }

    fn table(&self, table: &TableFactor, ctes: &mut Vec<String>) -> Result<(), CompileError> {
        match table {
            TableFactor::Table { name, args: None, version: None, sample: None, .. } => self.table_name(name, ctes),
            TableFactor::Derived { lateral: false, subquery, sample: None, .. } => self.query(subquery, ctes),
            other => {
                let help = format!("select FROM {INPUT}, or from a sub-select over it");
                Err(self.refuse("this kind of table is not known", help, other.span()))
            }
        }
    }

    fn table_name(&self, name: &ObjectName, ctes: &[String]) -> Result<(), CompileError> {
        if let [part] = name.0.as_slice()
            && let Some(ident) = part.as_ident()
        {
            let normalized = normalized(ident);
            if normalized == INPUT || ctes.contains(&normalized) {
                return Ok(());
            }
        }
        let help = format!("the records are the table `{INPUT}`");
        Err(self.refuse(format!("unknown table `{name}`"), help, name.span()))
    }

    /// Checks all expressions of the statement, wherever they stand.
    fn expressions(&self, query: &Query) -> Result<(), CompileError> {
        match query.visit(&mut ExpressionVisitor { checker: self }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(*error),
        }
    }

    fn expression(&self, expr: &Expr) -> Result<(), CompileError> {
        match expr {
            Expr::Function(function) => self.function(function),
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => Err(self.refuse(
                format!("a sub-select inside an expression; {ROW_BY_ROW}"),
                "compute with the record's own columns",
                expr.span(),
            )),
            Expr::Value(value) if matches!(value.value, ast::Value::Placeholder(_)) => {
                Err(self.refuse("a placeholder; a transform has no parameters", "write the value", value.span))
            }
            Expr::Identifier(ident) if ident.quote_style.is_none() && self.is_clock_word(ident) => {
                Err(self.impure(&ident.value, ident.span))
            }
            _ => Ok(()),
        }
    }

    fn function(&self, function: &Function) -> Result<(), CompileError> {
        let span = function.name.span();
        if let Some(over) = &function.over {
            let help = "compute with the record's own columns";
            let message = format!("a window function; {ROW_BY_ROW}");
            let span = match over {
                ast::WindowType::NamedWindow(name) => span.union(&name.span),
                ast::WindowType::WindowSpec(_) => span,
            };
            return Err(self.refuse(message, help, span));
        }
        let name = function.name.to_string().to_lowercase();
        match self.functions.classify(&name) {
            Named::Pure => Ok(()),
            Named::Impure => Err(self.impure(&name, span)),
            Named::Aggregate => {
                let help = match name.as_str() {
                    "max" => "for the larger of some values write greatest(a, b)",
                    "min" => "for the smaller of some values write least(a, b)",
                    _ => "compute with the record's own columns",
                };
                Err(self.refuse(format!("{name}() is an aggregate; {ROW_BY_ROW}"), help, span))
            }
            Named::Window => {
                let help = "compute with the record's own columns";
                Err(self.refuse(format!("{name}() is a window function; {ROW_BY_ROW}"), help, span))
            }
            Named::Unknown => {
                let help = did_you_mean(&name, self.functions.names())
                    .unwrap_or_else(|| "functions are DataFusion's scalar functions".to_owned());
                Err(self.refuse(format!("unknown function {name}()"), help, span))
            }
        }
    }

    fn impure(&self, name: &str, span: Span) -> CompileError {
        let help = "take the time from the record: its column `_timestamp`, or a field of it";
        self.refuse(format!("{}() depends on time or chance; {PURE}", name.to_lowercase()), help, span)
    }

    /// `current_date` and its like may be written without parentheses.
    fn is_clock_word(&self, ident: &Ident) -> bool {
        let name = ident.value.to_lowercase();
        name.starts_with("current_")
            && !self.input.declared().any(|column| column == name)
            && matches!(self.functions.classify(&name), Named::Impure)
    }
}

struct ExpressionVisitor<'a, 'b> {
    checker: &'a Checker<'b>,
}

impl Visitor for ExpressionVisitor<'_, '_> {
    type Break = Box<CompileError>;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        match self.checker.expression(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Box::new(error)),
        }
    }
}

/// A name as the planner reads it: in lower case unless quoted.
fn normalized(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}
