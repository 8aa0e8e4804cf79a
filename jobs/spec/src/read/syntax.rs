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
        m if m.contains("string") || m.contains("boolean") => {
            found.help("text stands between quotation marks: \"one line\", or \"\"\"several lines\"\"\"")
        }
        _ => found.help("https://toml.io has the grammar on one page"),
    }
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
