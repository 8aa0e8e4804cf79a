//! What the TOML parser itself refuses.

use super::{options, report};
use crate::Diagnostic;

/// A syntax error of the TOML parser as a finding.
pub(crate) fn diagnostic(text: &str, error: &toml::de::Error) -> Diagnostic {
    let span = error.span().unwrap_or(text.len()..text.len());
    let found = Diagnostic::error(span, format!("not TOML: {}", error.message()));
    match error.message() {
        m if m.starts_with("duplicate key") => {
            found.help("keep one of them: a key may stand in a table once, and a section once in a file")
        }
        m if is_escape(m) || in_basic_string_escape(text, error.span()) => found
            .help("a backslash begins an escape between `\"`: write it twice (`\\\\d`)")
            .help("or write the text between single quotation marks, which know no escapes: '…' on one line, '''…''' on several"),
        m if m.contains("string") || m.contains("boolean") => {
            found.help("text stands between quotation marks: \"one line\", or \"\"\"several lines\"\"\"")
        }
        _ => found.help("https://toml.io has the grammar on one page"),
    }
}

fn is_escape(message: &str) -> bool {
    message.contains("escape")
}

/// Whether the error stands at a backslash or just behind one.
fn in_basic_string_escape(text: &str, span: Option<std::ops::Range<usize>>) -> bool {
    span.and_then(|span| text.get(span.start.saturating_sub(1)..span.end)).is_some_and(|near| near.contains('\\'))
}

/// Masks what may be a secret in a file that cannot be parsed: the quoted value of every key that looks like one.
pub(crate) fn mask(text: &str) -> String {
    let mut secrets = vec![];
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let value = line.split_once('=').filter(|(key, _)| options::is_secret(key.trim().trim_matches(['"', '\''])));
        if let Some((key, value)) = value
            && value.trim_start().starts_with(['"', '\''])
        {
            secrets.push(start + key.len() + 1..start + line.len());
        }
        start += line.len();
    }
    report::mask(text, &secrets)
}
