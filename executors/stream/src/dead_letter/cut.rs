//! What of a letter is sent: all of it, in a request of its own when the topic refused one it shared, and only then
//! less. What is left out is said in a header.

use millstream_topology::kafka::add_header;
use rdkafka::message::{Header, OwnedHeaders};

use super::{Content, Letter};

/// Prefix of our headers.
const HEADER: &str = "millstream.";

/// Before the names of a record's own headers that begin like ours, so that nobody takes them for ours.
const FOREIGN: &str = "record.";

/// Longest detail in a header, in bytes: a server's words may be of any length, and the letter must fit the topic.
const DETAIL_BYTES_MAX: usize = 2_048;

/// How much of a letter is sent; each step leaves out one part more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cut {
    /// Everything, together with other letters.
    Together,
    /// Everything, in a request of its own: the topic's limit holds for a request.
    Alone,
    /// Without the value.
    Value,
    /// Without the record's own headers as well.
    Headers,
    /// Without the key as well: only the place and the reason are left.
    Key,
}

impl Cut {
    /// The next step that makes this record's letter smaller; none when nothing is left to leave out.
    pub(super) fn next(self, content: &Content) -> Option<Cut> {
        let steps = [
            (Cut::Alone, true),
            (Cut::Value, content.value.as_ref().is_some_and(|value| !value.is_empty())),
            (Cut::Headers, !content.headers.is_empty()),
            (Cut::Key, content.key.as_ref().is_some_and(|key| !key.is_empty())),
        ];
        steps.into_iter().find(|(step, is_there)| *step > self && *is_there).map(|(step, _)| step)
    }

    /// What this step left out, as a metric label.
    pub(super) fn label(self) -> Option<&'static str> {
        match self {
            Cut::Together | Cut::Alone => None,
            Cut::Value => Some("value"),
            Cut::Headers => Some("headers"),
            Cut::Key => Some("key"),
        }
    }

    /// The value, if it is sent.
    pub(super) fn value(self, content: &Content) -> Option<&[u8]> {
        content.value.as_deref().filter(|_| self < Cut::Value)
    }

    /// The key, if it is sent.
    pub(super) fn key(self, content: &Content) -> Option<&[u8]> {
        content.key.as_deref().filter(|_| self < Cut::Key)
    }
}

/// Where a letter comes from.
pub(super) struct Origin<'a> {
    pub(super) job: &'a str,
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    /// Why the record could not be read again.
    pub(super) gone: Option<&'a str>,
}

/// Headers of a letter: ours first, then the record's own.
pub(super) fn headers(origin: &Origin<'_>, letter: &Letter, content: &Content, cut: Cut) -> OwnedHeaders {
    let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len).to_string();
    let detail = &letter.detail[..letter.detail.floor_char_boundary(DETAIL_BYTES_MAX)];
    let ours = [
        ("job", Some(origin.job.to_owned())),
        ("topic", Some(origin.topic.to_owned())),
        ("partition", Some(origin.partition.to_string())),
        ("offset", Some(letter.offset.to_string())),
        ("timestamp", content.timestamp_ms.map(|ms| ms.to_string())),
        ("reason", Some(letter.reason.clone())),
        ("detail", Some(detail.to_owned())),
        ("record_gone", origin.gone.map(str::to_owned)),
        ("value_dropped_bytes", (cut >= Cut::Value).then(|| size(&content.value))),
        ("headers_dropped", (cut >= Cut::Headers).then(|| content.headers.len().to_string())),
        ("key_dropped_bytes", (cut >= Cut::Key).then(|| size(&content.key))),
    ];
    let mut headers = OwnedHeaders::new_with_capacity(content.headers.len() + ours.len());
    for (name, value) in ours.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        headers = headers.insert(Header { key: &format!("{HEADER}{name}"), value: Some(value) });
    }
    for (name, value) in content.headers.iter().filter(|_| cut < Cut::Headers) {
        let is_forged = name.starts_with(HEADER.as_bytes());
        let renamed = if is_forged { [FOREIGN.as_bytes(), name].concat() } else { name.clone() };
        headers = add_header(headers, (&renamed, value.as_deref()));
    }
    headers
}
