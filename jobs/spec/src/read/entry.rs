//! Reading values of a TOML document, each with its place, each wrong one reported.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{keys, options, report::Report};
use crate::{Diagnostic, literal, suggest};

/// A table of the document.
pub(super) struct Section<'d> {
    /// Dotted path; empty for the root.
    path: String,
    span: Range<usize>,
    entries: &'d DeTable<'d>,
}

/// One key with its value.
pub(super) struct Entry<'d> {
    path: String,
    /// Bytes of the key; for an array's item, of the item.
    pub(super) key: Range<usize>,
    value: &'d Spanned<DeValue<'d>>,
}

/// A string value.
pub(super) struct Text<'d> {
    pub(super) value: &'d str,
    /// Bytes of its literal, quotation marks included.
    pub(super) span: Range<usize>,
}

impl Text<'_> {
    /// Bytes of the file that a part of the value comes from.
    pub(super) fn part(&self, r: &Report<'_>, part: Range<usize>) -> Range<usize> {
        literal::map(r.text, self.span.clone(), part).unwrap_or_else(|| self.span.clone())
    }
}

impl<'d> Section<'d> {
    pub(super) fn root(entries: &'d DeTable<'d>) -> Self {
        // A document has no header of its own: what is missing in it is reported where it begins.
        let span = entries.keys().map(Spanned::span).min_by_key(|s| s.start).unwrap_or(0..0);
        Section { path: String::new(), span, entries }
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    pub(super) fn optional(&self, key: &str) -> Option<Entry<'d>> {
        let (key, value) = self.entries.get_key_value(key)?;
        Some(Entry { path: self.child(key.get_ref()), key: key.span(), value })
    }

    /// What is not there is fine; what is there must be right.
    pub(super) fn optionally<T>(&self, key: &str, read: impl FnOnce(Entry<'d>) -> Option<T>) -> Option<Option<T>> {
        self.optional(key).map_or(Some(None), |entry| read(entry).map(Some))
    }

    /// `example` is a line to write.
    pub(super) fn required(&self, r: &mut Report<'_>, key: &str, example: &str) -> Option<Entry<'d>> {
        let entry = self.optional(key);
        if entry.is_none() && !self.is_misspelt(key) {
            let place =
                if self.path.is_empty() { "at the top of the file".to_owned() } else { format!("in [{}]", self.path) };
            r.push(
                Diagnostic::error(self.span(), format!("`{key}` is missing {place}")).help(format!("add `{example}`")),
            );
        }
        entry
    }

    pub(super) fn optional_section(&self, r: &mut Report<'_>, key: &str) -> Option<Section<'d>> {
        self.optional(key)?.section(r)
    }

    pub(super) fn required_section(&self, r: &mut Report<'_>, key: &str, example: &str) -> Option<Section<'d>> {
        if let Some(entry) = self.optional(key) {
            return entry.section(r);
        }
        let header = self.child(key);
        r.push(
            Diagnostic::error(self.span(), format!("the section [{header}] is missing"))
                .help(format!("add a section `{example}`")),
        );
        None
    }

    /// All entries, in file order: for sections whose keys are the user's own.
    pub(super) fn all(&self) -> Vec<Entry<'d>> {
        let entry = |(key, value): (&'d Spanned<_>, &'d Spanned<DeValue<'d>>)| {
            let name: &std::borrow::Cow<'d, str> = key.get_ref();
            Entry { path: self.child(name), key: key.span(), value }
        };
        let mut all: Vec<_> = self.entries.iter().map(entry).collect();
        all.sort_by_key(|e| e.key.start);
        all
    }

    /// Reports keys nobody reads.
    pub(super) fn check_keys(&self, r: &mut Report<'_>) {
        let Some(known) = keys::of(&self.path) else { return };
        for (key, value) in self.entries {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                if options::is_secret(name) || meant(name, known).is_some_and(options::is_secret) {
                    hide_leaves(value, r);
                }
                r.push(self.unknown(name, key.span(), value.get_ref(), known));
            }
        }
    }

    fn unknown(&self, name: &str, span: Range<usize>, value: &DeValue<'_>, known: &[&str]) -> Diagnostic {
        let place =
            if self.path.is_empty() { "at the top of a job file".to_owned() } else { format!("in [{}]", self.path) };
        let error = Diagnostic::error(span, format!("unknown key `{name}` {place}"));
        if let Some(here) = meant(name, known) {
            return error.help(format!("did you mean `{here}`?"));
        }
        if let Some(home) = keys::home(name) {
            let section = if home.is_empty() {
                "the top of the file, before the first section".to_owned()
            } else {
                format!("[{home}]")
            };
            return error.help(format!("`{name}` belongs in {section}"));
        }
        if self.path == "source.kafka" && name.contains('.') && !value.is_table() {
            return error.help("librdkafka properties belong in [source.kafka.options]");
        }
        error.help(format!("known keys are {}", known.join(", ")))
    }

    /// `key` is there under another name, which [`Section::check_keys`] reports: one fault, one finding.
    pub(super) fn is_misspelt(&self, key: &str) -> bool {
        let Some(known) = keys::of(&self.path) else { return false };
        let names = self.entries.keys().map(|k| k.get_ref().as_ref());
        names.filter(|n| !known.contains(n)).any(|n| meant(n, known) == Some(key))
    }

    fn child(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// Hides every plain value at or below `value`, wherever dots and braces put it.
fn hide_leaves(value: &Spanned<DeValue<'_>>, r: &mut Report<'_>) {
    match value.get_ref() {
        DeValue::Table(table) => table.values().for_each(|v| hide_leaves(v, r)),
        DeValue::Array(items) => items.iter().for_each(|v| hide_leaves(v, r)),
        _ => r.hide(value.span()),
    }
}

/// The known key that an unknown one was most likely meant to be.
fn meant<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    keys::foreign(name).filter(|k| known.contains(k)).or_else(|| suggest::nearest(name, known.iter().copied()))
}

impl<'d> Entry<'d> {
    /// The last part of the path: the key's text.
    pub(super) fn name<'a>(&'a self, section: &Section<'_>) -> &'a str {
        if section.path.is_empty() { &self.path } else { &self.path[section.path.len() + 1..] }
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    pub(super) fn value(&self) -> &'d DeValue<'d> {
        self.value.get_ref()
    }

    pub(super) fn is_table(&self) -> bool {
        self.value().is_table()
    }

    pub(super) fn section(&self, r: &mut Report<'_>) -> Option<Section<'d>> {
        match self.value().as_table() {
            Some(entries) => Some(Section { path: self.path.clone(), span: self.span(), entries }),
            None => self.wrong_type(r, "a table", "for example a section header in brackets"),
        }
    }

    pub(super) fn string(&self, r: &mut Report<'_>) -> Option<Text<'d>> {
        match self.value().as_str() {
            Some(value) => Some(Text { value, span: self.span() }),
            None => self.wrong_type(r, "a string", "put it in quotation marks"),
        }
    }

    /// A string that is not empty.
    pub(super) fn filled_string(&self, r: &mut Report<'_>) -> Option<Text<'d>> {
        let text = self.string(r)?;
        if text.value.trim().is_empty() {
            r.push(
                Diagnostic::error(text.span, format!("`{}` is empty", self.path))
                    .help("write a value, or leave the key out if it has a default"),
            );
            return None;
        }
        Some(text)
    }

    /// An integer or float.
    pub(super) fn number(&self, r: &mut Report<'_>) -> Option<f64> {
        let parsed = match self.value() {
            DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix()).ok().map(|i| i as f64),
            DeValue::Float(f) => f.as_str().parse().ok(),
            _ => return self.wrong_type(r, "a number", "write it without quotation marks"),
        };
        match parsed.filter(|n: &f64| n.is_finite()) {
            Some(number) => Some(number),
            None => self.wrong_type(r, "a finite number", "write a plain number, as in 0.5"),
        }
    }

    /// The strings of an array, each as an entry of its own.
    pub(super) fn array(&self, r: &mut Report<'_>, example: &str) -> Option<Vec<Entry<'d>>> {
        let Some(items) = self.value().as_array() else {
            return self.wrong_type(r, "an array", &format!("write it in brackets: `{example}`"));
        };
        let entry = |(i, value): (usize, &'d Spanned<DeValue<'d>>)| Entry {
            path: format!("{}.{i}", self.path),
            key: value.span(),
            value,
        };
        Some(items.iter().enumerate().map(entry).collect())
    }

    /// One of a few words; `more` tells of other forms.
    pub(super) fn choice<T: Clone>(&self, r: &mut Report<'_>, choices: &[(&str, T)], more: Option<&str>) -> Option<T> {
        let text = self.string(r)?;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text.value) {
            return Some(value.clone());
        }
        let error = Diagnostic::error(text.span, format!("`{}` cannot be \"{}\"", self.path, text.value));
        let words = choices.iter().map(|(name, _)| *name);
        let error = match suggest::nearest(text.value, words.clone()) {
            Some(near) => error.help(format!("did you mean \"{near}\"?")),
            None => {
                error.help(format!("write one of {}", words.map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(", ")))
            }
        };
        r.push(more.into_iter().fold(error, Diagnostic::help));
        None
    }

    /// Hides every plain value in it.
    pub(super) fn hide(&self, r: &mut Report<'_>) {
        hide_leaves(self.value, r);
    }

    /// Reports that the value is of the wrong type.
    pub(super) fn wrong_type<T>(&self, r: &mut Report<'_>, wanted: &str, help: &str) -> Option<T> {
        let found = match self.value().type_str() {
            kind @ ("integer" | "array" | "inline table") => format!("an {kind}"),
            kind => format!("a {kind}"),
        };
        r.push(
            Diagnostic::error(self.span(), format!("`{}` must be {wanted}", self.path))
                .label(format!("this is {found}"))
                .help(help),
        );
        None
    }
}
