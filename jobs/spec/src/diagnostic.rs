//! What is wrong with a job file, where, why, and what to do about it.

use std::{fmt, ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

/// Longest text of a finding, in characters: a stranger's file may have names of a megabyte.
const MAX_TEXT_CHARS: usize = 4_000;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The job is accepted, but its author should look.
    Warning,
    /// The job is refused.
    Error,
}

/// One finding, pointing at bytes of the job file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line without a full stop.
    pub message: String,
    /// The bytes of the file it is about.
    pub span: Range<usize>,
    /// What to say beside the marked bytes.
    pub label: Option<String>,
    /// Why it is wrong.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// An error about the bytes of `span`.
    pub fn error(span: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, span, cut(message.into()))
    }

    /// A warning about the bytes of `span`.
    pub fn warning(span: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, span, cut(message.into()))
    }

    fn new(severity: Severity, span: Range<usize>, message: String) -> Self {
        Diagnostic { severity, message, span, label: None, notes: vec![], help: vec![] }
    }

    /// Says something beside the marked bytes.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(cut(label.into()));
        self
    }

    /// Adds a reason.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(cut(note.into()));
        self
    }

    /// Adds a remedy.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(cut(help.into()));
        self
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// All findings of one run over one file, in file order. Displays as plain text.
#[derive(Debug, Clone)]
pub struct Diagnostics {
    file: String,
    /// Text to show; secrets are masked, byte for byte, so that spans stay right.
    text: Arc<str>,
    items: Vec<Diagnostic>,
}

impl Diagnostics {
    pub(crate) fn new(file: String, text: Arc<str>, mut items: Vec<Diagnostic>) -> Self {
        items.sort_by_key(|d| (d.span.start, d.span.end));
        Diagnostics { file, text, items }
    }

    /// Name of the file, as it was given to [`crate::parse`].
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The findings, in file order.
    pub fn items(&self) -> &[Diagnostic] {
        &self.items
    }

    /// True when there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// True when at least one of them refuses the job.
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|d| d.severity == Severity::Error)
    }

    /// For people: file, line, the marked source, reason and remedy of each finding. `color` adds terminal styles.
    pub fn render(&self, color: bool) -> String {
        crate::render::render(&self.file, &self.text, &self.items, color)
    }

    /// For programs: each finding with its line and column.
    pub fn locate(&self) -> Vec<Located> {
        self.items
            .iter()
            .map(|d| Located {
                severity: d.severity,
                message: d.message.clone(),
                file: self.file.clone(),
                start: Position::of(&self.text, d.span.start),
                end: Position::of(&self.text, d.span.end),
                label: d.label.clone(),
                notes: d.notes.clone(),
                help: d.help.clone(),
                rendered: crate::render::render(&self.file, &self.text, std::slice::from_ref(d), false),
            })
            .collect()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

/// A [`Diagnostic`] that has left its file: the form of `--json` and of the scheduler's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// The file's name.
    pub file: String,
    /// First marked character.
    pub start: Position,
    /// Just behind the last marked character.
    pub end: Position,
    /// What to say beside the mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Why it is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub help: Vec<String>,
    /// The same as plain text with the marked source.
    #[serde(default)]
    pub rendered: String,
}

/// A place in a text, counted from 1 as editors do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Bytes before it, from 0.
    pub offset: usize,
}

impl Position {
    /// Position of the byte `offset`; behind the end counts as the end, inside a character as its start.
    pub fn of(text: &str, offset: usize) -> Self {
        let offset = text.floor_char_boundary(offset);
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let line = before.matches('\n').count() + 1;
        Position { line, column: before[line_start..].chars().count() + 1, offset }
    }
}
