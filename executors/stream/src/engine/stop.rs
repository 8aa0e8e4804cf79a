use millstream_protocol::PartitionStatus;

/// Why a partition can't go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// For people, one line.
    pub reason: String,
    /// When it begins again.
    pub again: Again,
}

/// When a partition that has stopped begins again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// When a person has moved the group's offset: the same record, at this offset, would stop it again.
    Moved(i64),
    /// After a while: it may look different then.
    Later,
    /// At once, where the list and the group say.
    AtOnce,
    /// At once, and the log is to be looked at: it may not be the one that was read.
    Doubted,
}

impl Stop {
    /// A bad record under `bad_record = "fail"`.
    pub fn bad_record(offset: i64, reason: &str, detail: &str) -> Stop {
        Stop { reason: format!("bad record at offset {offset}: {reason}: {detail}"), again: Again::Moved(offset) }
    }

    /// Anything that may look different later.
    pub fn other(reason: impl Into<String>) -> Stop {
        Stop { reason: reason.into(), again: Again::Later }
    }

    /// Whether it is a bad record below that of the other: who passes over the other must have heard of this one.
    pub fn is_before(&self, other: &Stop) -> bool {
        matches!((self.again, other.again), (Again::Moved(here), Again::Moved(there)) if here < there)
    }

    /// Whether a person, or at least time, is needed before it begins again.
    pub fn status(&self) -> PartitionStatus {
        match self.again {
            Again::Moved(_) | Again::Later => PartitionStatus::Stopped,
            Again::AtOnce | Again::Doubted => PartitionStatus::Stalled,
        }
    }

    /// Something that a new begin mends.
    pub fn anew(reason: impl Into<String>) -> Stop {
        Stop { reason: reason.into(), again: Again::AtOnce }
    }
}
