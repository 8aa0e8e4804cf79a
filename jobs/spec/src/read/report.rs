//! Collects what is found while a job file is read.

use std::ops::Range;

use crate::Diagnostic;

/// Most findings in one run: more are read by nobody, and a generated file could have a million.
pub(crate) const MAX_FINDINGS: usize = 100;

/// What is found while a job file is read.
pub(crate) struct Report<'d> {
    pub(super) text: &'d str,
    items: Vec<Diagnostic>,
    /// Bytes that must not be shown.
    secrets: Vec<Range<usize>>,
    left_out: usize,
}

impl<'d> Report<'d> {
    pub(super) fn new(text: &'d str) -> Self {
        Report { text, items: vec![], secrets: vec![], left_out: 0 }
    }

    pub(super) fn push(&mut self, item: Diagnostic) {
        if self.items.len() < MAX_FINDINGS { self.items.push(item) } else { self.left_out += 1 }
    }

    /// The bytes are a secret: no output shows them.
    pub(super) fn hide(&mut self, span: Range<usize>) {
        self.secrets.push(span);
    }

    /// The text to show (secrets masked byte for byte), and all findings.
    pub(crate) fn finish(mut self) -> (String, Vec<Diagnostic>) {
        if let (Some(last), left_out @ 1..) = (self.items.last_mut(), self.left_out) {
            last.notes.push(format!("{left_out} more findings are left out"));
        }
        (mask(self.text, &self.secrets), self.items)
    }
}

/// Replaces every byte of `secrets` except line breaks by `*`, so that all offsets stay right.
pub(super) fn mask(text: &str, secrets: &[Range<usize>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for secret in secrets {
        for byte in bytes.iter_mut().take(secret.end).skip(secret.start) {
            if *byte != b'\n' && *byte != b'\r' {
                *byte = b'*';
            }
        }
    }
    // Masks begin and end at characters, so what is left is the UTF-8 it was; lossy only to be total.
    String::from_utf8_lossy(&bytes).into_owned()
}
