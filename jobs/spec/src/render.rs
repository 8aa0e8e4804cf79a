//! Findings as text: file, line, the marked source, reason, remedy.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet, normalize_untrusted_str};

use crate::{Diagnostic, Severity};

/// Columns of a rendered line before it is cut: the same everywhere, so that output is the same everywhere.
const WIDTH: usize = 140;

pub(crate) fn render(file: &str, text: &str, items: &[Diagnostic], color: bool) -> String {
    let renderer = if color { Renderer::styled().hyperlink(false) } else { Renderer::plain() }.term_width(WIDTH);
    let mut out = String::new();
    for item in items {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&renderer.render(&[group(file, text, item)]));
        out.push('\n');
    }
    out
}

fn group<'a>(file: &'a str, text: &'a str, item: &'a Diagnostic) -> annotate_snippets::Group<'a> {
    let level = match item.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let start = text.floor_char_boundary(item.span.start);
    let end = text.ceil_char_boundary(item.span.end).max(start);
    // Only the lines that are marked: the renderer reads all it is given, for each finding.
    let from = text[..start].rfind('\n').map_or(0, |i| i + 1);
    let to = text[end..].find('\n').map_or(text.len(), |i| end + i + 1);
    let line = text[..from].matches('\n').count() + 1;
    let mark = AnnotationKind::Primary
        .span(start - from..end - from)
        .label(item.label.as_deref().map(normalize_untrusted_str));
    let snippet = Snippet::source(&text[from..to]).line_start(line).path(file).annotation(mark);
    let notes = item.notes.iter().map(|n| Level::NOTE.message(normalize_untrusted_str(n)));
    let help = item.help.iter().map(|h| Level::HELP.message(normalize_untrusted_str(h)));
    level.primary_title(item.message.as_str()).element(snippet).elements(notes).elements(help)
}
