//! Why a transform is refused, and where: errors of the parser and planner in the words of a job file.

use std::ops::Range;

use datafusion_common::{Column, DataFusionError, SchemaError};
use datafusion_sql::sqlparser::{
    parser::ParserError,
    tokenizer::{Location, Span},
};

use crate::suggest::did_you_mean;

/// Longest message or help, in characters: DataFusion quotes whole types and names.
const MAX_TEXT_CHARS: usize = 2_000;

/// What to do about an error of the planner that does not come up in practice.
const OTHERWISE: &str = "write it in another way; docs/job-file.md says what a transform may be";

/// Why a transform is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    /// What is wrong, one line.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where, in bytes of the SQL text, when it is known.
    pub span: Option<Range<usize>>,
}

impl CompileError {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>, span: Option<Range<usize>>) -> Self {
        CompileError { message: message.into(), help: Some(help.into()), span }
    }

    /// The same, its texts no longer than a person reads.
    pub(crate) fn cut(self) -> Self {
        CompileError { message: cut(self.message), help: self.help.map(cut), span: self.span }
    }

    pub(crate) fn from_parser(error: &ParserError, sql: &str) -> Self {
        let text = match error {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
            ParserError::RecursionLimitExceeded => "it is nested too deeply",
        };
        let (message, location) = split_location(text);
        CompileError {
            message: format!("this is not SQL: {message}"),
            help: Some("write one statement like SELECT a, b + 1 AS c FROM input WHERE a > 0".to_owned()),
            span: location.map(|location| word_at(sql, byte_offset(sql, location))),
        }
    }

    pub(crate) fn from_planner(error: DataFusionError, sql: &str) -> Self {
        let span = error.diagnostic().and_then(|diagnostic| diagnostic.span).map(|span| {
            let at = |location: datafusion_common::Location| {
                byte_offset(sql, Location { line: location.line, column: location.column })
            };
            at(span.start)..at(span.end)
        });
        let (message, help) = explain(error.find_root());
        let span = span.or_else(|| call_in(sql, &message));
        CompileError { message, help, span }
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The bytes of a span of the parser; none when it is not known.
pub(crate) fn byte_range(sql: &str, span: Span) -> Option<Range<usize>> {
    (span != Span::empty()).then(|| byte_offset(sql, span.start)..byte_offset(sql, span.end))
}

fn explain(error: &DataFusionError) -> (String, Option<String>) {
    match error {
        DataFusionError::SchemaError(error, _) => explain_name(error),
        other => {
            let text = other.message();
            let line = text.lines().next().unwrap_or_default().trim().trim_end_matches('.');
            (line.to_owned(), Some(remedy(line).unwrap_or(OTHERWISE).to_owned()))
        }
    }
}

fn explain_name(error: &SchemaError) -> (String, Option<String>) {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let names = || valid_fields.iter().map(Column::name);
            let case = names().find(|name| name.eq_ignore_ascii_case(&field.name));
            let help = case
                .map(|name| format!("names without quotes are read in lower case; write \"{name}\""))
                .or_else(|| did_you_mean(&field.name, names()))
                .unwrap_or_else(|| format!("the columns here are {}", names().collect::<Vec<_>>().join(", ")));
            (format!("unknown column `{}`", field.name), Some(help))
        }
        // There is only one table: what is ambiguous has been selected twice.
        SchemaError::AmbiguousReference { field } => {
            (format!("two columns are called `{}`", field.name), Some("rename one of them with AS".to_owned()))
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            (format!("two columns are called `{name}`"), Some("rename one of them with AS".to_owned()))
        }
    }
}

/// A remedy for planner errors that come up in practice.
fn remedy(message: &str) -> Option<&'static str> {
    let remedies = [
        ("require unique expression names", "rename one of the two with AS"),
        ("Cannot coerce arithmetic expression", "bring both sides to one type with CAST(… AS …)"),
        ("Cannot infer common", "bring both sides to one type with CAST(… AS …)"),
        ("No function matches", "look the function's arguments up, or CAST them"),
        ("non-boolean predicate", "a condition must be true or false: compare with =, <, IS NULL, …"),
        (
            "does not say what it counts",
            "write to_timestamp_millis(…), to_timestamp_seconds(…) or to_timestamp_micros(…)",
        ),
        ("may drop digits of its items", "cast the items where they are made"),
        ("decimals have at most 38 here", "use DECIMAL of at most 38 digits"),
        (
            "bytes, more than",
            "make it smaller: a table takes no row over 16 MiB, and every record would hold a constant",
        ),
        ("written out, the statement is too large", "use each column of a sub-select fewer times, or split the job"),
        ("the constants of the statement", "write the value itself, or use shorter texts"),
        ("steps, more than", "use shorter texts"),
        ("bytes each, more than", "use BLOB, which is as long as each value"),
        ("Unsupported SQL type", "types are those of CQL: int, bigint, double, text, timestamp, decimal(p, s), …"),
    ];
    remedies.iter().find(|(part, _)| message.contains(part)).map(|(_, help)| *help)
}

/// The place of the function that a message begins with (`repeat() would …`), when it is called only once.
fn call_in(sql: &str, message: &str) -> Option<Range<usize>> {
    let (name, _) = message.split_once("() ").filter(|(name, _)| !name.is_empty() && !name.contains(' '))?;
    let lower = sql.to_ascii_lowercase();
    let call = format!("{name}(");
    let mut calls = lower.match_indices(&call).map(|(start, _)| start..start + name.len());
    calls.next().filter(|_| calls.next().is_none())
}

/// Splits "… at Line: 1, Column: 8" off a message of the parser.
fn split_location(text: &str) -> (&str, Option<Location>) {
    let split = || {
        let (message, place) = text.rsplit_once(" at Line: ")?;
        let (line, column) = place.split_once(", Column: ")?;
        Some((message, Location { line: line.parse().ok()?, column: column.trim().parse().ok()? }))
    };
    match split() {
        Some((message, location)) => (message, Some(location)),
        None => (text, None),
    }
}

/// The byte of a line and column, both counted from 1, the column in characters.
fn byte_offset(sql: &str, location: Location) -> usize {
    let line_start: usize = sql
        .split_inclusive('\n')
        .take(usize::try_from(location.line.saturating_sub(1)).unwrap_or(0))
        .map(str::len)
        .sum();
    let column = usize::try_from(location.column.saturating_sub(1)).unwrap_or(0);
    let rest = &sql[line_start..];
    rest.char_indices().nth(column).map_or(sql.len(), |(i, _)| line_start + i)
}

/// The word that begins at a byte, or one character, or what is before the end.
fn word_at(sql: &str, start: usize) -> Range<usize> {
    let rest = &sql[start..];
    let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    let length = if word > 0 { word } else { rest.chars().next().map_or(0, char::len_utf8) };
    start..start + length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_offsets_count_bytes() {
        let sql = "SELECT 'é',\n  x FROM input";
        assert_eq!(&sql[byte_offset(sql, Location { line: 1, column: 11 })..][..1], ",");
        assert_eq!(&sql[word_at(sql, byte_offset(sql, Location { line: 2, column: 3 }))], "x");
        assert_eq!(byte_offset(sql, Location { line: 2, column: 99 }), sql.len());
    }
}
