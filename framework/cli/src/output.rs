//! Where results and failures are printed, and the exit code that goes with them.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use serde::Serialize;

use crate::{
    failure::Failure,
    printable::{escaped, escaped_but_colors, escaped_json},
};

/// How to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// JSON for programs instead of text for people.
    pub(crate) json: bool,
}

impl Output {
    /// Prints a result for people.
    pub(crate) fn text(self, text: &str) {
        self.bytes(&escaped(text));
    }

    /// Prints a file as it is; on a terminal as text for people.
    pub(crate) fn file(self, text: &str) {
        if io::stdout().is_terminal() { self.text(text) } else { self.bytes(text) }
    }

    /// A reader that has gone away (`| head`) is not a failure.
    fn bytes(self, text: &str) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Prints a result as JSON.
    pub(crate) fn value(self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(json) => self.bytes(&(escaped_json(&json) + "\n")),
            Err(error) => self.note(&format!("error: the result cannot be printed as JSON: {error}\n")),
        }
    }

    /// Prints for people beside the result.
    pub(crate) fn note(self, text: &str) {
        let text = if self.color() { escaped_but_colors(text) } else { escaped(text) };
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// Prints why the command failed.
    pub(crate) fn failure(self, failure: &Failure) -> ExitCode {
        if self.json {
            self.value(&failure.0);
        } else {
            self.note(&failure.to_string());
        }
        ExitCode::FAILURE
    }

    /// Do people see colours on standard error?
    pub(crate) fn color(self) -> bool {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        io::stderr().is_terminal() && !unwanted && !dumb
    }
}
