//! What goes in: records as they come from the log, and why one of them may be bad.

/// One record of the log, borrowed from the fetch buffer.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Partition it was read from.
    pub partition: i32,
    /// Its offset in that partition.
    pub offset: i64,
    /// Create or append time in milliseconds since the Unix epoch, when the record has one.
    pub timestamp_ms: Option<i64>,
    /// Key bytes.
    pub key: Option<&'a [u8]>,
    /// Value bytes; none makes the record a tombstone: the delete of its row.
    pub value: Option<&'a [u8]>,
    /// Headers in record order. May be left empty when [`Transform::uses_headers`](crate::Transform::uses_headers) is
    /// false.
    pub headers: &'a [Header<'a>],
}

/// One header of a [`Record`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name; when a name occurs more than once, the last one counts.
    pub name: &'a str,
    /// Its value; one that is not UTF-8 is NULL in `_headers`.
    pub value: Option<&'a [u8]>,
}

/// A record that cannot be turned into a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRecord {
    /// Index into the records that were processed.
    pub index: usize,
    /// Which kind of failure, for metrics and dead-letter headers.
    pub reason: BadReason,
    /// What exactly, for people: one line, never the value of a whole record.
    pub detail: String,
}

/// Kinds of failure of a record; closed, so that it can be a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BadReason {
    /// The value is not one JSON object.
    InvalidJson,
    /// A JSON field does not fit its declared type.
    TypeMismatch,
    /// A required field is missing or null.
    MissingField,
    /// A division by zero in the SQL.
    DivisionByZero,
    /// An arithmetic overflow in the SQL.
    Overflow,
    /// Another evaluation error in the SQL, a failed cast for one.
    Evaluation,
    /// An expression would make more of the record than is allowed; found before the memory is taken.
    ResultTooLarge,
    /// The SQL would take too long over the record; found before it is computed.
    TooManySteps,
    /// The evaluation panicked: a bug, contained to this record.
    Panic,
    /// A value lies outside what its table column holds.
    OutOfRange,
    /// A value would change when written to its table column.
    Lossy,
    /// A text is not a valid value of its table column (uuid, inet, date, …).
    InvalidText,
    /// A primary-key column is NULL.
    NullKey,
    /// The partition key is empty, or the key is longer than Cassandra allows.
    InvalidKey,
    /// A NULL inside a collection, which Cassandra cannot hold.
    NullElement,
    /// The row is larger than the largest mutation Cassandra takes.
    TooLarge,
    /// The time-to-live column is negative or longer than 20 years.
    InvalidTtl,
    /// A record without value, but not every primary-key column comes from its key or metadata.
    TombstoneWithoutKey,
}

impl BadReason {
    /// All of them, for metric registration.
    pub const ALL: [BadReason; 18] = [
        BadReason::InvalidJson,
        BadReason::TypeMismatch,
        BadReason::MissingField,
        BadReason::DivisionByZero,
        BadReason::Overflow,
        BadReason::Evaluation,
        BadReason::ResultTooLarge,
        BadReason::TooManySteps,
        BadReason::Panic,
        BadReason::OutOfRange,
        BadReason::Lossy,
        BadReason::InvalidText,
        BadReason::NullKey,
        BadReason::InvalidKey,
        BadReason::NullElement,
        BadReason::TooLarge,
        BadReason::InvalidTtl,
        BadReason::TombstoneWithoutKey,
    ];

    /// Snake-case name: metric label and dead-letter header.
    pub fn label(self) -> &'static str {
        match self {
            BadReason::InvalidJson => "invalid_json",
            BadReason::TypeMismatch => "type_mismatch",
            BadReason::MissingField => "missing_field",
            BadReason::DivisionByZero => "division_by_zero",
            BadReason::Overflow => "overflow",
            BadReason::Evaluation => "evaluation",
            BadReason::ResultTooLarge => "result_too_large",
            BadReason::TooManySteps => "too_many_steps",
            BadReason::Panic => "panic",
            BadReason::OutOfRange => "out_of_range",
            BadReason::Lossy => "lossy",
            BadReason::InvalidText => "invalid_text",
            BadReason::NullKey => "null_key",
            BadReason::InvalidKey => "invalid_key",
            BadReason::NullElement => "null_element",
            BadReason::TooLarge => "too_large",
            BadReason::InvalidTtl => "invalid_ttl",
            BadReason::TombstoneWithoutKey => "tombstone_without_key",
        }
    }
}

impl std::fmt::Display for BadReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

/// Why one row failed, before it is known which record it came from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Fault {
    pub(crate) reason: BadReason,
    pub(crate) detail: String,
}

impl Fault {
    pub(crate) fn new(reason: BadReason, detail: impl Into<String>) -> Self {
        Fault { reason, detail: detail.into() }
    }

    pub(crate) fn at(self, index: usize) -> BadRecord {
        BadRecord { index, reason: self.reason, detail: self.detail }
    }
}

/// The fault that made an evaluation fail, when it was one of ours.
pub(crate) fn fault_in<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Fault> {
    let mut source = Some(error);
    while let Some(error) = source {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return Some(fault);
        }
        source = error.source();
    }
    None
}
