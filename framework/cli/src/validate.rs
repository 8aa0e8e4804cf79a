//! `millstream validate`

use std::{path::Path, process::ExitCode};

use futures_util::{StreamExt as _, stream};
use millstream_daemon::{
    api::counted,
    check::{self, Checked},
};
use millstream_spec::{Diagnostics, Located};
use serde::Serialize;

use crate::{args, failure::Failure, job_file, output::Output};

/// Files checked at once: servers that don't answer are waited for side by side.
const FILES_AT_ONCE: usize = 16;

/// What is found in one file: the form of `validate --json`.
#[derive(Debug, Serialize)]
struct Validated {
    file: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    /// What can be said without a place in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    diagnostics: Vec<Located>,
    #[serde(skip)]
    shown: Option<Diagnostics>,
    #[serde(skip)]
    summary: String,
}

/// Checks every file, and says all that is wrong with each.
pub(crate) async fn run(args: &args::Validate, out: Output) -> ExitCode {
    let checks = args.files.iter().map(|path| validate(path, args.live));
    let all: Vec<_> = stream::iter(checks).buffered(FILES_AT_ONCE).collect().await;
    let refused = all.iter().filter(|v| !v.ok).count();
    if out.json {
        out.value(&all);
    } else {
        print(&all, refused, out);
    }
    if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn validate(path: &Path, live: bool) -> Validated {
    let text = match job_file::read(path) {
        Ok(text) => text,
        Err(failure) => return Validated::unread(path, failure),
    };
    let checked = match job_file::check(path, &text) {
        Ok(checked) => checked,
        Err(diagnostics) => return Validated::found(path, None, diagnostics),
    };
    let found = if live { check::live(&checked).await.err() } else { None };
    let fits = if live { ", topic and table fit" } else { "" };
    let diagnostics = found.unwrap_or_else(|| checked.file.warnings.clone());
    Validated { summary: summary(&checked) + fits, ..Validated::found(path, Some(&checked), diagnostics) }
}

fn summary(checked: &Checked) -> String {
    let spec = &checked.file.spec;
    let fields = checked.transform.output_schema().fields().len();
    let columns = counted(fields, "column");
    format!("{}: topic {} → {columns} → {}.{}", spec.name, spec.source.topic, spec.sink.keyspace, spec.sink.table)
}

impl Validated {
    fn unread(path: &Path, failure: Failure) -> Self {
        let (error, remedy) = (Some(failure.0.error), failure.0.remedy);
        Validated {
            file: path.display().to_string(),
            ok: false,
            job: None,
            error,
            remedy,
            diagnostics: vec![],
            shown: None,
            summary: String::new(),
        }
    }

    fn found(path: &Path, checked: Option<&Checked>, diagnostics: Diagnostics) -> Self {
        Validated {
            file: path.display().to_string(),
            ok: !diagnostics.has_errors(),
            job: checked.map(|c| c.file.spec.name.to_string()),
            error: None,
            remedy: None,
            diagnostics: diagnostics.locate(),
            shown: Some(diagnostics),
            summary: String::new(),
        }
    }
}

fn print(all: &[Validated], refused: usize, out: Output) {
    for validated in all {
        if let Some(diagnostics) = validated.shown.as_ref().filter(|d| !d.is_empty()) {
            out.note(&(diagnostics.render(out.color()) + "\n"));
        }
        if let Some(error) = &validated.error {
            let remedy = validated.remedy.as_ref().map(|r| format!("  help: {r}\n")).unwrap_or_default();
            out.note(&format!("error: {error}\n{remedy}\n"));
        }
        if validated.ok {
            out.text(&format!("{}: ok ({})\n", validated.file, validated.summary));
        }
    }
    if all.len() > 1 && refused > 0 {
        let verb = if refused == 1 { "is" } else { "are" };
        out.note(&format!("{refused} of {} files {verb} refused\n", all.len()));
    }
}
