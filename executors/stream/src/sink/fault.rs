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
}

impl Fault {
    /// Metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Fault::Later { label, .. } => label,
            Fault::Refused { .. } => "refused",
            Fault::Denied { .. } => "denied",
        }
    }

    /// For people.
    pub fn detail(&self) -> &str {
        match self {
            Fault::Later { detail, .. } | Fault::Refused { detail } | Fault::Denied { detail } => detail,
        }
    }
}

/// All labels of [`Fault::label`], for metric registration.
pub const LABELS: [&str; 17] = [
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
];

/// Words of Cassandra's that speak of a value, so of one row. All else that it calls invalid (guardrails on consistency or
/// timestamps, a table that is not as expected) would be said of other rows as well.
const OF_ONE_ROW: [&str; 16] = [
    "oversized mutation",
    "too large",
    "too big",
    "too long",
    "key length",
    "value of column",
    "detected collection",
    "may not be empty",
    "empty value",
    "expected ",
    "unexpected ",
    "utf8",
    "utf-8",
    "marshal",
    "not a valid",
    "a ttl ",
];

/// Whether a refusal is about this row alone.
pub fn is_about_row(detail: &str) -> bool {
    let detail = detail.to_lowercase();
    OF_ONE_ROW.iter().any(|words| detail.contains(words))
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
        for words in [
            "Key may not be empty",
            "Key length of 70000 is longer than maximum of 65535",
            "Rejected an oversized mutation (2/1)",
            "Expected 4 or 0 byte int (8)",
            "Value of column 'v' has size 2MiB, this exceeds the failure threshold of 1MiB.",
        ] {
            assert!(is_about_row(words), "{words}");
        }
        for words in [
            "Provided values [ONE] are not allowed for write consistency levels",
            "The modification timestamp for table t.x is too old: 1 is below the minimum timestamp threshold",
            "Undefined column name w in table t.x",
            "unconfigured table x",
        ] {
            assert!(!is_about_row(words), "{words}");
        }
    }

    #[test]
    fn what_will_be_refused_again_is_looked_into() {
        assert_eq!(db(DbError::Invalid, "Unknown identifier x").label(), "refused");
        assert_eq!(db(DbError::ServerError, "Rejected an oversized mutation (2/1)").label(), "refused");
        assert_eq!(db(DbError::Unauthorized, "no").label(), "denied");
    }
}
