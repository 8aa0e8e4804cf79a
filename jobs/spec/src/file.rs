//! A parsed job file: the job, and where each part of it stands in the text.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use toml::de::{DeTable, DeValue};

use crate::{Diagnostic, Diagnostics, JobSpec, literal, read};

/// Largest job file in bytes: a job is written by hand, and this travels to the scheduler in one request.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Parses a job file and checks all that can be checked without SQL planning and without a network.
///
/// `file_name` is only shown. Every error found is in the result, not only the first.
pub fn parse(file_name: &str, text: &str) -> Result<JobFile, Diagnostics> {
    if text.len() > MAX_FILE_BYTES {
        let what = format!("the file has {} bytes, more than {MAX_FILE_BYTES}", text.len());
        let item =
            Diagnostic::error(0..0, what).help("a job file is a few hundred lines at most: is this the right file?");
        return Err(Diagnostics::new(file_name.to_owned(), Arc::from(""), vec![item]));
    }
    let (document, syntax_errors) = DeTable::parse_recoverable(text);
    if !syntax_errors.is_empty() {
        // What a broken file would mean is a guess: its syntax errors alone are worth reading.
        let items = syntax_errors.iter().take(read::MAX_FINDINGS).map(|e| read::syntax::diagnostic(text, e)).collect();
        return Err(Diagnostics::new(file_name.to_owned(), read::syntax::mask(text).into(), items));
    }
    let (spec, report) = read::job(text, document.get_ref());
    let (masked, items) = report.finish();
    let diagnostics = Diagnostics::new(file_name.to_owned(), masked.into(), items);
    match spec {
        Some(spec) if !diagnostics.has_errors() => {
            let places = Places::of(document.get_ref());
            Ok(JobFile { spec, file_name: file_name.to_owned(), text: Arc::from(text), warnings: diagnostics, places })
        }
        _ => Err(diagnostics),
    }
}

/// A job that has passed the checks, with its text, so that what is found later can point into the file.
#[derive(Debug, Clone)]
pub struct JobFile {
    /// The job.
    pub spec: JobSpec,
    /// What is accepted but deserves a look.
    pub warnings: Diagnostics,
    file_name: String,
    text: Arc<str>,
    places: Places,
}

impl JobFile {
    /// Name of the file, as it was given to [`parse`].
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Bytes of the value at a dotted path, as in `sink.cassandra.table`, `source.columns.year`,
    /// `source.kafka.options.fetch.min.bytes` or `placement.constraints.0`. For a table: its header.
    pub fn span(&self, path: &str) -> Option<Range<usize>> {
        self.places.0.get(path).map(|p| p.value.clone())
    }

    /// Bytes of the key at a dotted path.
    pub fn key_span(&self, path: &str) -> Option<Range<usize>> {
        self.places.0.get(path).map(|p| p.key.clone())
    }

    /// Bytes of a part of the string at a dotted path, given as bytes of the string's value: right through escapes
    /// and multi-line strings. The whole value when it is not a string; none when the path is not in the file.
    pub fn span_in(&self, path: &str, part: Range<usize>) -> Option<Range<usize>> {
        let value = self.span(path)?;
        Some(literal::map(&self.text, value.clone(), part).unwrap_or(value))
    }

    /// An error in the SQL; `span` counts bytes of [`crate::Transform::sql`].
    pub fn sql_error(
        &self,
        message: impl Into<String>,
        help: Option<String>,
        span: Option<Range<usize>>,
    ) -> Diagnostic {
        const SQL: &str = "transform.sql";
        let place = span.and_then(|s| self.span_in(SQL, s)).or_else(|| self.span(SQL)).unwrap_or(0..0);
        let error = Diagnostic::error(place, message);
        help.into_iter().fold(error, Diagnostic::help)
    }

    /// An error about what stands at a dotted path, or, when the file leaves that to a default, about the nearest
    /// table around it.
    pub fn error_at(&self, path: &str, message: impl Into<String>, help: Option<String>) -> Diagnostic {
        let error = Diagnostic::error(self.nearest_span(path), message);
        help.into_iter().fold(error, Diagnostic::help)
    }

    /// Puts findings together with the file they are about.
    pub fn diagnostics(&self, items: Vec<Diagnostic>) -> Diagnostics {
        Diagnostics::new(self.file_name.clone(), self.text.clone(), items)
    }

    fn nearest_span(&self, path: &str) -> Range<usize> {
        let mut path = path;
        loop {
            if let Some(span) = self.span(path) {
                return span;
            }
            match path.rfind('.') {
                Some(dot) => path = &path[..dot],
                None => return 0..0,
            }
        }
    }
}

/// Dotted path → where its key and value stand.
#[derive(Debug, Clone, Default)]
struct Places(BTreeMap<String, Place>);

#[derive(Debug, Clone)]
struct Place {
    key: Range<usize>,
    value: Range<usize>,
}

impl Places {
    fn of(document: &DeTable<'_>) -> Self {
        let mut places = Places::default();
        places.add_table("", document);
        places
    }

    fn add_table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path =
                if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
            self.add(path, key.span(), value.span(), value.get_ref());
        }
    }

    fn add(&mut self, path: String, key: Range<usize>, span: Range<usize>, value: &DeValue<'_>) {
        match value {
            DeValue::Table(table) => self.add_table(&path, table),
            DeValue::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.add(format!("{path}.{i}"), item.span(), item.span(), item.get_ref());
                }
            }
            _ => {}
        }
        self.0.insert(path, Place { key, value: span });
    }
}
