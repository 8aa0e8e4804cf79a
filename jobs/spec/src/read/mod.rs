//! From a TOML document to a [`JobSpec`]: one file for each section, every error collected.
//!
//! A reader returns `None` only after it has reported why, so that a job is `None` exactly when it is refused.

mod address;
mod columns;
mod entry;
mod kafka;
mod keys;
mod options;
mod placement;
mod report;
mod setting;
mod sink;
pub(crate) mod syntax;
mod tasks;

use entry::{Entry, Section};
pub(crate) use report::MAX_FINDINGS;
use report::Report;
use toml::de::DeTable;

#[cfg(test)]
pub(crate) use keys::SECTIONS;

use crate::{Diagnostic, Errors, JobName, JobSpec, Placement, Transform};

/// Longest job name: task ids hold it beside a number and must stay below Mesos' 255 characters.
const MAX_NAME: usize = 63;

/// Longest SQL in bytes: it is planned by every executor, and a longer one is a generated mistake.
const MAX_SQL_BYTES: usize = 64 * 1024;

/// Reads a whole job. The report holds every error and warning.
pub(crate) fn job<'d>(text: &'d str, document: &'d DeTable<'d>) -> (Option<JobSpec>, Report<'d>) {
    let mut report = Report::new(text);
    let spec = read(document, &mut report);
    (spec, report)
}

fn read<'d>(document: &'d DeTable<'d>, r: &mut Report<'d>) -> Option<JobSpec> {
    let root = Section::root(document);
    let name = root.required(r, "name", "name = \"flights\"").and_then(|e| job_name(&e, r));
    let source = root.required_section(r, "source", "[source.kafka]");
    let kafka_section = source.as_ref().and_then(|s| s.required_section(r, "kafka", "[source.kafka]"));
    let columns = source
        .as_ref()
        .and_then(|s| s.required_section(r, "columns", "[source.columns]"))
        .and_then(|s| columns::read(&s, r));
    let transform = root.required_section(r, "transform", "[transform]").and_then(|s| transform(&s, r));
    let sink = root
        .required_section(r, "sink", "[sink.cassandra]")
        .and_then(|s| (s.check_keys(r), s.required_section(r, "cassandra", "[sink.cassandra]")).1)
        .and_then(|s| sink::read(&s, r));
    let tasks = tasks::read(root.optional_section(r, "tasks"), r);
    let placement = match root.optional_section(r, "placement") {
        Some(s) => placement::read(&s, r),
        None => Some(Placement::default()),
    };
    let kafka = kafka_section.and_then(|s| kafka::read(&s, name.as_ref(), r));
    let errors = match root.optional_section(r, "errors") {
        Some(s) => errors(&s, kafka.as_ref().map(|k| k.topic.as_str()), r),
        None => Some(Errors::default()),
    };
    if let Some(source) = &source {
        source.check_keys(r);
    }
    root.check_keys(r);
    let spec = JobSpec {
        name: name?,
        source: kafka?,
        columns: columns?,
        transform: transform?,
        sink: sink?,
        tasks: tasks?,
        placement: placement?,
        errors: errors?,
    };
    Some(spec)
}

fn job_name(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<JobName> {
    let text = entry.string(r)?;
    let name = text.value;
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= MAX_NAME
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits {
        return Some(JobName(name.to_owned()));
    }
    let error = Diagnostic::error(text.span.clone(), "this is not a job name")
        .note("the name is part of task ids, metric labels and file names")
        .help(format!("use 1 to {MAX_NAME} of a-z, 0-9 and -, beginning with a letter"));
    let idea: String =
        name.to_lowercase().chars().map(|c| if c == '_' || c == ' ' || c == '.' { '-' } else { c }).collect();
    let idea_fits = idea != name && idea.len() <= MAX_NAME && idea.starts_with(|c: char| c.is_ascii_lowercase());
    let idea_fits = idea_fits && idea.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    r.push(if idea_fits { error.help(format!("for example `{idea}`")) } else { error });
    None
}

fn transform(section: &Section<'_>, r: &mut Report<'_>) -> Option<Transform> {
    section.check_keys(r);
    let entry = section.required(r, "sql", "sql = \"SELECT … FROM input\"")?;
    let text = entry.string(r)?;
    if text.value.trim().is_empty() {
        r.push(
            Diagnostic::error(text.span, "the SQL is empty")
                .help("write one SELECT over `input`, as in `SELECT id, upper(name) AS name FROM input`"),
        );
        return None;
    }
    if text.value.len() > MAX_SQL_BYTES {
        let what = format!("the SQL has {} bytes, more than {MAX_SQL_BYTES}", text.value.len());
        r.push(Diagnostic::error(entry.key.clone(), what).help("write it shorter: every executor plans it"));
        return None;
    }
    Some(Transform { sql: text.value.to_owned() })
}

fn errors(section: &Section<'_>, source_topic: Option<&str>, r: &mut Report<'_>) -> Option<Errors> {
    use crate::BadRecord;
    section.check_keys(r);
    let show_values = match section.optional("show_values") {
        Some(entry) => tasks::yes_or_no(&entry, "write true to see what is in bad records, or false", r)?,
        None => false,
    };
    let Some(entry) = section.optional("bad_record") else { return Some(Errors { show_values, ..Errors::default() }) };
    if entry.is_table() {
        let table = entry.section(r)?;
        table.check_keys(r);
        let topic_entry = table.required(r, "dead_letter", "bad_record = { dead_letter = \"topic\" }")?;
        let topic = address::topic(&topic_entry, r)?;
        if Some(topic.as_str()) == source_topic {
            r.push(
                Diagnostic::error(topic_entry.span(), "dead letters would go into the topic they come from")
                    .note("every one of them would be read again as a bad record, without end")
                    .help(format!("name another topic, for example `{topic}.dead`")),
            );
            return None;
        }
        return Some(Errors { bad_record: BadRecord::DeadLetter(topic), show_values });
    }
    let choices = [("fail", BadRecord::Fail), ("skip", BadRecord::Skip)];
    let bad_record = entry.choice(r, &choices, Some("or name a topic for them: { dead_letter = \"topic\" }"))?;
    Some(Errors { bad_record, show_values })
}
