//! What a failed request means: try again, look at the schema and the row, or ask a person.

use scylla::errors::{DbError, ExecutionError, RequestAttemptError};

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Every write is idempotent: it is tried again, for ever.
    Later {
        /// Metric label.
        label: &'static str,
        /// For people.
        detail: String,
    },
    /// The same request will be refused again: the schema has changed, or it is the row.
    Refused {
        /// For people.
        detail: String,
    },
    /// Somebody has to grant something.
    Denied {
        /// For people.
        detail: String,
    },
    /// Putting the rows into a request panicked: it is one of them.
    Panicked,
}

impl Fault {
    /// Metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Fault::Later { label, .. } => label,
            Fault::Refused { .. } => "refused",
            Fault::Denied { .. } => "denied",
            Fault::Panicked => "panicked",
        }
    }

    /// For people.
    pub fn detail(&self) -> &str {
        match self {
            Fault::Later { detail, .. } | Fault::Refused { detail } | Fault::Denied { detail } => detail,
            Fault::Panicked => PANICKED,
        }
    }
}

/// All labels of [`Fault::label`], for metric registration.
pub const LABELS: [&str; 18] = [
    "unavailable",
    "overloaded",
    "bootstrapping",
    "truncate",
    "write_timeout",
    "write_failure",
    "rate_limit",
    "server_error",
    "protocol_error",
    "other_error",
    "connection",
    "no_connection",
    "client_timeout",
    "prepare",
    "refused",
    "refused_for_all",
    "denied",
    "panicked",
];

/// Said of a row that could not be put into a request.
pub const PANICKED: &str = "the sink panicked at it";

/// Words of Cassandra's on a value that breaks a setting: true of one row, but when it is said of row after row it is the
/// setting that is in the way; as with a panic of ours.
const OF_A_LIMIT: [&str; 8] = [
    "oversized mutation",
    "too large",
    "too big",
    "too long",
    "value of column",
    "detected collection",
    "a ttl ",
    PANICKED,
];

/// Words of Cassandra's on a value that no setting could allow. All else that it calls invalid (guardrails on consistency or
/// timestamps, a table that is not as expected) would be said of other rows as well.
const OF_ONE_ROW: [&str; 9] = [
    "key length",
    "may not be empty",
    "empty value",
    "expected ",
    "unexpected ",
    "utf8",
    "utf-8",
    "marshal",
    "not a valid",
];

/// So many rows are given up one after another for the same limit, then it is the job's trouble.
pub const ALIKE_MAX: u32 = 10;

/// Whose a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The row's.
    Row,
    /// A limit's that refuses row after row.
    Limit,
    /// The job's: other rows would be refused as well.
    Job,
}

/// The refusals since a row was last taken.
#[derive(Debug, Default)]
pub struct Refusals {
    words: &'static str,
    count: u32,
}

impl Refusals {
    /// Whose one more refusal is, in Cassandra's words.
    pub fn judge(&mut self, detail: &str) -> Whose {
        let detail = detail.to_lowercase();
        let said = |words: &'static [&'static str]| words.iter().copied().find(|words| detail.contains(words));
        if said(&OF_ONE_ROW).is_some() {
            return Whose::Row;
        }
        let Some(words) = said(&OF_A_LIMIT) else { return Whose::Job };
        if self.words != words {
            *self = Refusals { words, count: 0 };
        }
        self.count = (self.count + 1).min(ALIKE_MAX + 1);
        if self.count > ALIKE_MAX { Whose::Limit } else { Whose::Row }
    }

    /// A row was taken.
    pub fn taken(&mut self) {
        self.count = 0;
    }
}

/// Judges a driver error.
pub fn judge(error: &ExecutionError) -> Fault {
    let later = |label| Fault::Later { label, detail: error.to_string() };
    match error {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(kind, message)) => judge_db(kind, message),
        ExecutionError::LastAttemptError(attempt) => match attempt {
            RequestAttemptError::RepreparedIdChanged { .. }
            | RequestAttemptError::RepreparedIdMissingInBatch
            | RequestAttemptError::SerializationError(_)
            | RequestAttemptError::CqlRequestSerialization(_) => Fault::Refused { detail: error.to_string() },
            RequestAttemptError::UnableToAllocStreamId => later("overloaded"),
            _ => later("connection"),
        },
        ExecutionError::ConnectionPoolError(_) | ExecutionError::EmptyPlan => later("no_connection"),
        ExecutionError::RequestTimeout(_) => later("client_timeout"),
        ExecutionError::PrepareError(_) => later("prepare"),
        ExecutionError::BadQuery(_) => Fault::Refused { detail: error.to_string() },
        _ => later("other_error"),
    }
}

fn judge_db(kind: &DbError, message: &str) -> Fault {
    let detail = if message.is_empty() { kind.to_string() } else { message.to_owned() };
    // Cassandra has no error code of its own for these.
    let is_too_large =
        ["oversized mutation", "too large", "too big", "too long"].iter().any(|text| message.contains(text));
    let label = match kind {
        DbError::Unauthorized | DbError::AuthenticationError => return Fault::Denied { detail },
        DbError::Invalid | DbError::SyntaxError | DbError::ConfigError | DbError::Unprepared { .. } => {
            return Fault::Refused { detail };
        }
        DbError::ServerError | DbError::ProtocolError if is_too_large => return Fault::Refused { detail },
        DbError::Unavailable { .. } => "unavailable",
        DbError::Overloaded => "overloaded",
        DbError::IsBootstrapping => "bootstrapping",
        DbError::TruncateError => "truncate",
        DbError::WriteTimeout { .. } => "write_timeout",
        DbError::WriteFailure { .. } => "write_failure",
        DbError::RateLimitReached { .. } => "rate_limit",
        DbError::ServerError => "server_error",
        DbError::ProtocolError => "protocol_error",
        _ => "other_error",
    };
    Fault::Later { label, detail: format!("{label}: {detail}") }
}

#[cfg(test)]
mod tests {
    use scylla::{errors::WriteType, statement::Consistency};

    use super::*;

    fn db(kind: DbError, message: &str) -> Fault {
        judge(&ExecutionError::LastAttemptError(RequestAttemptError::DbError(kind, message.into())))
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        let timeout = DbError::WriteTimeout {
            consistency: Consistency::LocalQuorum,
            received: 1,
            required: 2,
            write_type: WriteType::UnloggedBatch,
        };
        for (kind, label) in
            [(timeout, "write_timeout"), (DbError::Overloaded, "overloaded"), (DbError::ServerError, "server_error")]
        {
            let fault = db(kind, "busy");
            assert!(matches!(fault, Fault::Later { .. }));
            assert_eq!(fault.label(), label);
            assert!(LABELS.contains(&label) && fault.detail().contains("busy"));
        }
    }

    #[test]
    fn words_about_a_value_are_about_its_row() {
        let whose = |words| Refusals::default().judge(words);
        for words in [
            "Key may not be empty",
            "Key length of 70000 is longer than maximum of 65535",
            "Rejected an oversized mutation (2/1)",
            "Expected 4 or 0 byte int (8)",
            "Value of column 'v' has size 2MiB, this exceeds the failure threshold of 1MiB.",
            PANICKED,
        ] {
            assert_eq!(whose(words), Whose::Row, "{words}");
        }
        for words in [
            "Provided values [ONE] are not allowed for write consistency levels",
            "The modification timestamp for table t.x is too old: 1 is below the minimum timestamp threshold",
            "Undefined column name w in table t.x",
            "unconfigured table x",
        ] {
            assert_eq!(whose(words), Whose::Job, "{words}");
        }
    }

    #[test]
    fn row_after_row_is_the_limits() {
        let mut refusals = Refusals::default();
        let mut judge = |row: u32| refusals.judge(&format!("Value of column 'v' has size {row}MiB"));
        let said: Vec<_> = (1..=ALIKE_MAX + 2).map(&mut judge).collect();
        assert_eq!(said[..ALIKE_MAX as usize], [Whose::Row; ALIKE_MAX as usize]);
        assert_eq!(said[ALIKE_MAX as usize..], [Whose::Limit; 2]);
        assert_eq!(refusals.judge("Key may not be empty"), Whose::Row, "no limit allows that");
        assert_eq!(refusals.judge("Value of column 'v' has size 1MiB"), Whose::Limit);
        refusals.taken();
        assert_eq!(refusals.judge("Value of column 'v' has size 1MiB"), Whose::Row);
    }

    #[test]
    fn what_will_be_refused_again_is_looked_into() {
        assert_eq!(db(DbError::Invalid, "Unknown identifier x").label(), "refused");
        assert_eq!(db(DbError::ServerError, "Rejected an oversized mutation (2/1)").label(), "refused");
        assert_eq!(db(DbError::Unauthorized, "no").label(), "denied");
    }
}
