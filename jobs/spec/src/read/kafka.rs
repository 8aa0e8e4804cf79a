//! `[source.kafka]`

use toml::de::DeValue;

use super::{
    address,
    entry::{Entry, Section},
    options,
    report::Report,
};
use crate::{Diagnostic, Format, JobName, KafkaSource, Start};

/// Kafka's usual port, for help texts.
const KAFKA_PORT: u16 = 9092;

/// Longest group name: brokers take more, lag tools and metric labels suffer.
const MAX_GROUP: usize = 255;

pub(super) fn read(section: &Section<'_>, job: Option<&JobName>, r: &mut Report<'_>) -> Option<KafkaSource> {
    section.check_keys(r);
    let bootstrap = section
        .required(r, "bootstrap", "bootstrap = [\"127.0.0.1:9092\"]")
        .and_then(|e| address::list(&e, KAFKA_PORT, r));
    let topic = section.required(r, "topic", "topic = \"flights\"").and_then(|e| address::topic(&e, r));
    let group = match section.optional("group") {
        Some(entry) => group(&entry, r),
        // Without a name the job is refused anyway.
        None => Some(job.map(|j| j.0.clone()).unwrap_or_default()),
    };
    let start = section.optional("start").map_or(Some(Start::default()), |e| start(&e, r));
    let format =
        section.optional("format").map_or(Some(Format::default()), |e| e.choice(r, &[("json", Format::Json)], None));
    let options = match section.optional("options") {
        Some(entry) => entry.section(r).and_then(|s| options::read(&s, r)),
        None => Some(Default::default()),
    };
    Some(KafkaSource {
        bootstrap: bootstrap?,
        topic: topic?,
        group: group?,
        start: start?,
        format: format?,
        options: options?,
    })
}

fn group(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<String> {
    let text = entry.filled_string(r)?;
    if text.value.len() > MAX_GROUP || text.value.contains(char::is_control) {
        r.push(Diagnostic::error(text.span, "this is not the name of a consumer group").help(format!(
            "use at most {MAX_GROUP} printable characters, or leave it out: the default is the job's name"
        )));
        return None;
    }
    Some(text.value.to_owned())
}

fn start(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<Start> {
    const HELP: &str =
        "write \"earliest\", \"latest\", or a time with its offset from UTC, as in \"2013-01-01T00:00:00Z\"";
    let text = match entry.value() {
        DeValue::String(text) => text.to_string(),
        // TOML has times of its own; both spellings mean the same.
        DeValue::Datetime(time) => time.to_string(),
        _ => return entry.wrong_type(r, "a string", HELP),
    };
    match text.as_str() {
        "earliest" => return Some(Start::Earliest),
        "latest" => return Some(Start::Latest),
        _ => {}
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(time) if time.as_millisecond() < 0 => {
            r.push(
                Diagnostic::error(entry.span(), "`source.kafka.start` is before 1970")
                    .note("Kafka counts time from 1970")
                    .help("write \"earliest\" to begin with the oldest record"),
            );
            None
        }
        Ok(time) => Some(Start::TimestampMs(time.as_millisecond())),
        Err(error) => {
            let wrong = Diagnostic::error(entry.span(), "`source.kafka.start` is none of its three forms");
            r.push(wrong.note(format!("as a time: {error}")).help(HELP));
            None
        }
    }
}
