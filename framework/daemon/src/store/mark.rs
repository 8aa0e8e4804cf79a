//! Records beside the scheduler's own that keep every scheduler from beginning with a state: it is elsewhere now, or it has
//! not come whole. Releases that do not know them refuse them as records of a newer version.

use millstream_scheduler::RecordChange;
use serde_json::json;

use crate::store::{Records, StoreError};

const MOVED: &str = "moved";
const UNFINISHED: &str = "unfinished";

/// Why no scheduler may begin with a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It is there now.
    Moved { to: String },
    /// It has not come whole from there.
    Unfinished { from: String },
}

impl Mark {
    /// The change that puts it there.
    pub(crate) fn put(&self) -> RecordChange {
        let (key, value) = match self {
            Mark::Moved { to } => (MOVED, json!({ "to": to })),
            Mark::Unfinished { from } => (UNFINISHED, json!({ "from": from })),
        };
        RecordChange { key: key.into(), value: Some(value) }
    }

    /// The change that takes it away.
    pub(crate) fn gone(&self) -> RecordChange {
        RecordChange { value: None, ..self.put() }
    }

    fn error(self) -> StoreError {
        match self {
            Mark::Moved { to } => StoreError::Moved { to },
            Mark::Unfinished { from } => StoreError::Unfinished { from },
        }
    }
}

/// Takes the marks out of the records; what is not whole counts more than where it went.
pub(crate) fn taken(records: &mut Records) -> Option<Mark> {
    let mut text = |key: &str, field: &str| Some(records.remove(key)?[field].as_str().unwrap_or_default().to_owned());
    let (moved, unfinished) = (text(MOVED, "to"), text(UNFINISHED, "from"));
    unfinished.map(|from| Mark::Unfinished { from }).or(moved.map(|to| Mark::Moved { to }))
}

/// The records, if a scheduler may begin with them.
pub(crate) fn checked(mut records: Records) -> Result<Records, StoreError> {
    match taken(&mut records) {
        Some(mark) => Err(mark.error()),
        None => Ok(records),
    }
}
