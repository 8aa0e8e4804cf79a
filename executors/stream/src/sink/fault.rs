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
pub const LABELS: [&str; 16] = [
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
    "denied",
];

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
    fn what_will_be_refused_again_is_looked_into() {
        assert_eq!(db(DbError::Invalid, "Unknown identifier x").label(), "refused");
        assert_eq!(db(DbError::ServerError, "Rejected an oversized mutation (2/1)").label(), "refused");
        assert_eq!(db(DbError::Unauthorized, "no").label(), "denied");
    }
}
