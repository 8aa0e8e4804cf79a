//! Columns called like a word of SQL: `order`, `user`, `from`. The parser reads them as something else, and fails far from
//! the cause. When quoting such names makes the statement right, that is what the person is told.

use std::ops::Range;

use datafusion_sql::sqlparser::{
    dialect::GenericDialect,
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Tokenizer},
};
use millstream_spec::SourceColumn;

use super::{
    Transform,
    budget::Budget,
    error::{CompileError, byte_range},
    input::Input,
    refuse,
};

/// Most words that are tried; each try reads the statement again.
const MAX_WORDS: usize = 64;

/// Most words times bytes of the statement: what all tries read is a few times as much.
const MAX_TRIED_BYTES: usize = 256 * 1024;

/// A word of the statement that may be meant as a column.
#[derive(Debug, Clone)]
struct Word {
    at: Range<usize>,
    /// The column's name as it is declared.
    name: String,
}

/// `error`, or what is behind it when columns with reserved names are not quoted.
pub(crate) fn explain(error: CompileError, columns: &[SourceColumn], sql: &str, budget: &Budget) -> CompileError {
    // A name in the wrong case says so itself.
    let knows_better = error.help.as_deref().is_some_and(|help| help.starts_with("names without quotes"));
    let words = words(columns, sql);
    let too_many = words.len() > MAX_WORDS || words.len() * sql.len() > MAX_TRIED_BYTES;
    if knows_better || words.is_empty() || too_many {
        return error;
    }
    let compiles = |sql: &str| Transform::compile_text(columns, sql, budget).is_ok();
    let input = Input::new(columns);
    let parses = |sql: &str| refuse::parse(sql, &input).is_ok();
    // What is wrong besides may only be found out after the words are quoted.
    let quoted =
        search(&words, sql, &compiles).or_else(|| if parses(sql) { None } else { search(&words, sql, &parses) });
    match quoted {
        Some(quoted) if !quoted.is_empty() => refusal(&quoted, sql),
        _ => error,
    }
}

/// Refuses an output that is nothing but `null`, `true` or `false`, where a column is called so: it would be the literal.
pub(crate) fn check_literals(columns: &[SourceColumn], sql: &str) -> Result<(), CompileError> {
    let literals: Vec<Word> = outputs_of_one_word(sql)
        .into_iter()
        .filter(|(keyword, _)| matches!(keyword, Keyword::NULL | Keyword::TRUE | Keyword::FALSE))
        .filter_map(|(_, at)| {
            let column = columns.iter().find(|column| column.name.eq_ignore_ascii_case(&sql[at.clone()]))?;
            Some(Word { at, name: column.name.clone() })
        })
        .collect();
    if literals.is_empty() { Ok(()) } else { Err(refusal(&literals, sql)) }
}

/// All but blanks and comments; none where they end in the middle.
fn tokens(sql: &str) -> Vec<TokenWithSpan> {
    let mut tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().unwrap_or_default();
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    tokens
}

/// Unquoted words that stand alone between commas, or between SELECT and FROM.
fn outputs_of_one_word(sql: &str) -> Vec<(Keyword, Range<usize>)> {
    let tokens = tokens(sql);
    let keyword = |token: Option<&TokenWithSpan>| match token.map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let is_comma = |token: Option<&TokenWithSpan>| token.is_some_and(|token| token.token == Token::Comma);
    let mut depth = 0;
    let mut words = vec![];
    for (index, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth -= 1,
            _ => {}
        }
        let before = index.checked_sub(1).and_then(|before| tokens.get(before));
        let after = tokens.get(index + 1);
        let begins = is_comma(before) || keyword(before) == Keyword::SELECT;
        let ends = is_comma(after) || keyword(after) == Keyword::FROM;
        if depth == 0
            && begins
            && ends
            && let Some(at) = byte_range(sql, token.span)
        {
            words.push((keyword(Some(token)), at));
        }
    }
    words
}

/// Unquoted words of SQL that are also names of columns, here or in a sub-select.
fn words(columns: &[SourceColumn], sql: &str) -> Vec<Word> {
    let tokens = tokens(sql);
    let mut names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    for (index, token) in tokens.iter().enumerate() {
        let Token::Word(word) = &token.token else { continue };
        let after_as = index > 0 && matches!(&tokens[index - 1].token, Token::Word(w) if w.keyword == Keyword::AS);
        if word.quote_style.is_some() || after_as {
            names.push(if word.quote_style.is_some() { word.value.clone() } else { word.value.to_lowercase() });
        }
    }
    let word = |token: &TokenWithSpan| {
        let Token::Word(word) = &token.token else { return None };
        let reserved = word.quote_style.is_none() && word.keyword != Keyword::NoKeyword;
        let exact = || names.iter().find(|name| **name == word.value.to_lowercase());
        let name = exact().or_else(|| names.iter().find(|name| name.eq_ignore_ascii_case(&word.value)));
        Some(Word { at: byte_range(sql, token.span)?, name: name.filter(|_| reserved)?.clone() })
    };
    tokens.iter().filter_map(word).collect()
}

/// Fewest of `words` to quote, in order, so that the statement is `good`.
fn search(words: &[Word], sql: &str, good: &dyn Fn(&str) -> bool) -> Option<Vec<Word>> {
    let mut quoted = all_or_some(words, sql, good)?;
    let mut index = 0;
    while index < quoted.len() {
        let mut fewer = quoted.clone();
        fewer.remove(index);
        if good(&with_quotes(&fewer, sql)) { quoted = fewer } else { index += 1 }
    }
    Some(quoted)
}

/// A set of words that is enough: all of them, or, where a word is also meant as itself (`SELECT from FROM input`), all
/// but one occurrence of a name, or only one.
fn all_or_some(words: &[Word], sql: &str, good: &dyn Fn(&str) -> bool) -> Option<Vec<Word>> {
    let ok = |set: Vec<Word>| good(&with_quotes(&set, sql)).then_some(set);
    if let Some(set) = ok(words.to_vec()) {
        return Some(set);
    }
    let without =
        |index: usize| words.iter().enumerate().filter(|(i, _)| *i != index).map(|(_, w)| w.clone()).collect();
    let of_others = |name: &str| words.iter().filter(|w| w.name != name).cloned().collect::<Vec<_>>();
    (0..words.len())
        .find_map(|index| ok(without(index)))
        .or_else(|| (0..words.len()).find_map(|index| ok(vec![words[index].clone()])))
        .or_else(|| words.iter().find_map(|word| ok(of_others(&word.name))))
        .or_else(|| greedy(words, sql, good))
}

/// Quotes word by word as long as the parser gets further.
fn greedy(words: &[Word], sql: &str, good: &dyn Fn(&str) -> bool) -> Option<Vec<Word>> {
    let mut quoted: Vec<Word> = vec![];
    for word in words {
        let mut more = quoted.clone();
        more.push(word.clone());
        if good(&with_quotes(&more, sql)) {
            return Some(more);
        }
        if reach(&with_quotes(&more, sql)) > reach(&with_quotes(&quoted, sql)) + 2 {
            quoted = more;
        }
    }
    None
}

/// How far the parser comes, in bytes.
fn reach(sql: &str) -> usize {
    match datafusion_sql::sqlparser::parser::Parser::parse_sql(&GenericDialect {}, sql) {
        Ok(_) => usize::MAX / 2,
        Err(error) => CompileError::from_parser(&error, sql).span.map_or(0, |span| span.start),
    }
}

fn with_quotes(words: &[Word], sql: &str) -> String {
    let mut text = String::with_capacity(sql.len() + words.len() * 2);
    let mut end = 0;
    for word in words {
        text.push_str(&sql[end..word.at.start]);
        text.push('"');
        text.push_str(&word.name);
        text.push('"');
        end = word.at.end;
    }
    text.push_str(&sql[end..]);
    text
}

fn refusal(words: &[Word], sql: &str) -> CompileError {
    let mut names: Vec<&str> = words.iter().map(|word| word.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let listed = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let message = match names.len() {
        1 => format!("{listed} is a reserved word of SQL: as the name of a column it must be quoted"),
        _ => format!("{listed} are reserved words of SQL: as names of columns they must be quoted"),
    };
    let (first, last) = (&words[0].at, &words[words.len() - 1].at);
    let line_start = sql[..first.start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = sql[last.end..].find('\n').map_or(sql.len(), |at| last.end + at);
    let mut fragment = with_quotes(
        &words
            .iter()
            .map(|w| Word { at: w.at.start - line_start..w.at.end - line_start, name: w.name.clone() })
            .collect::<Vec<_>>(),
        &sql[line_start..line_end],
    );
    const MAX_FRAGMENT_CHARS: usize = 200;
    if fragment.chars().count() > MAX_FRAGMENT_CHARS {
        fragment = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    }
    CompileError::new(message, format!("write {}", fragment.trim()), Some(first.clone()))
}
