//! `*` over `input` stands for the declared columns: nobody wants the record's metadata in a table by accident.

use datafusion_sql::sqlparser::{
    ast::{
        Cte, ExcludeSelectItem, Expr, Ident, Query, Select, SelectItem, SetExpr, TableFactor, WildcardAdditionalOptions,
    },
    tokenizer::Span,
};

use super::normalized;
use crate::sql::input::{INPUT, Input};

/// Message, help and place of a refusal.
pub(super) struct Refused(pub(super) &'static str, pub(super) &'static str, pub(super) Span);

pub(super) fn expand(query: &mut Query, input: &Input) -> Result<(), Refused> {
    if let Some(with) = &mut query.with {
        for Cte { query, .. } in &mut with.cte_tables {
            expand(query, input)?;
        }
    }
    expand_body(&mut query.body, input)
}

fn expand_body(body: &mut SetExpr, input: &Input) -> Result<(), Refused> {
    match body {
        SetExpr::Select(select) => expand_select(select, input),
        SetExpr::Query(query) => expand(query, input),
        _ => Ok(()),
    }
}

fn expand_select(select: &mut Select, input: &Input) -> Result<(), Refused> {
    for table in &mut select.from {
        match &mut table.relation {
            TableFactor::Derived { subquery, .. } => return expand(subquery, input),
            TableFactor::Table { name, .. } => {
                let is_input = name.0.last().and_then(|part| part.as_ident()).is_some_and(|i| normalized(i) == INPUT);
                if !is_input {
                    return Ok(());
                }
            }
            _ => return Ok(()),
        }
    }
    let mut items = Vec::with_capacity(select.projection.len());
    for item in std::mem::take(&mut select.projection) {
        match item {
            SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
                let excluded = excluded(&options)?;
                let names = input.declared().filter(|name| !excluded.iter().any(|excluded| excluded == name));
                items.extend(names.map(|name| SelectItem::UnnamedExpr(Expr::Identifier(Ident::with_quote('"', name)))));
            }
            other => items.push(other),
        }
    }
    select.projection = items;
    Ok(())
}

fn excluded(options: &WildcardAdditionalOptions) -> Result<Vec<String>, Refused> {
    let supported = options.opt_ilike.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none();
    if !supported {
        let span = options.wildcard_token.0.span;
        return Err(Refused("only EXCEPT and EXCLUDE may follow `*`", "list the columns instead", span));
    }
    let mut names = vec![];
    if let Some(except) = &options.opt_except {
        names.extend(std::iter::once(&except.first_element).chain(&except.additional_elements).map(normalized));
    }
    let exclude = match &options.opt_exclude {
        None => &[][..],
        Some(ExcludeSelectItem::Single(name)) => std::slice::from_ref(name),
        Some(ExcludeSelectItem::Multiple(names)) => names,
    };
    names.extend(exclude.iter().filter_map(|name| name.0.last()?.as_ident().map(normalized)));
    Ok(names)
}
