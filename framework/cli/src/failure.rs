//! Why a command failed, and what to do: the same form as the scheduler's own answers.

use std::fmt;

use millstream_daemon::{
    api::{DiagnosticView, ErrorBody},
    chain,
};
use millstream_spec::{Diagnostics, Located};

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) ErrorBody);

impl Failure {
    pub(crate) fn new(error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Failure(ErrorBody { error: error.into(), remedy: Some(remedy.into()), diagnostics: vec![] })
    }

    /// An error whose text says what to do, with its causes.
    pub(crate) fn of(error: &dyn std::error::Error) -> Self {
        Failure(ErrorBody { error: chain(error), remedy: None, diagnostics: vec![] })
    }

    /// A job file is refused.
    pub(crate) fn refused(diagnostics: &Diagnostics) -> Self {
        let error = format!("{} is refused", diagnostics.file());
        let diagnostics = diagnostics.locate().into_iter().map(view).collect();
        Failure(ErrorBody { error, remedy: None, diagnostics })
    }
}

fn view(located: Located) -> DiagnosticView {
    let help = (!located.help.is_empty()).then(|| located.help.join("; "));
    DiagnosticView { message: located.message, help, line: Some(located.start.line), rendered: located.rendered }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.0.diagnostics {
            writeln!(f, "{}\n", diagnostic.rendered.trim_end())?;
        }
        // A single finding is the headline too: once is enough.
        if self.0.diagnostics.iter().all(|diagnostic| diagnostic.message != self.0.error) {
            writeln!(f, "error: {}", self.0.error)?;
        }
        if let Some(remedy) = &self.0.remedy {
            writeln!(f, "  help: {remedy}")?;
        }
        Ok(())
    }
}
