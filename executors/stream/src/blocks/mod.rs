//! Timestamp blocks (docs/delivery.md, D1 and D5): every process that ever handles an offset ends with the same cells.
//!
//! Map: this file is the arithmetic, pure, and [`window`] what one consumer holds of it; [`keeper`] is the protocol on a
//! list, [`store`] the lists in Cassandra; [`before`] ends the lists of earlier releases.
//! [`source::start`](crate::source::start) decides where a partition begins.
//!
//! A partition has one list of *epochs* for all generations of the job. Each holds a block of timestamps; epoch `n + 1`
//! is written once, by whoever comes first, and never changes. It may begin inside the block of epoch `n`: the newest
//! epoch whose `from` is at most an offset gives it its timestamp.
//!
//! Invariants, for one list: a newer epoch gives every offset it holds a greater timestamp than any older one does; what
//! an epoch gives below the next one's `from` lies below all that the next one gives.

pub mod before;
pub mod keeper;
#[cfg(test)]
mod model;
pub mod store;
#[cfg(test)]
mod tests;
pub mod window;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest block: its timestamps run at most this many µs (one second) ahead of the wall clock.
pub const LEN_MAX: i64 = 1 << 20;

/// Shortest block that is asked for: a slow partition makes a new one for each record anyway, and a burst outgrows it
/// in a few steps.
pub const LEN_MIN: i64 = 16;

/// A block is meant to last this long.
pub const BLOCK_SECS: f64 = 8.0;

/// Most by which a block may be longer than the one before: timestamps of a block that is not used are lost to those who
/// begin above it.
const GROWTH_MAX: i64 = 16;

/// For so long a block may stamp records that are read for the first time. Their timestamps are then at most this far
/// behind the clock, and an older process that wakes up looks at the list before it writes anything new.
pub const YOUNG_US: i64 = 9_000_000;

/// An anchor this far ahead of the cluster's clock is refused: this machine's clock is wrong.
pub const AHEAD_MAX_US: i64 = 60_000_000;

/// A list whose blocks end further ahead of the clock than this waits for the clock: sparse offsets use timestamps up
/// faster than time passes.
pub const AHEAD_WAIT_US: i64 = 2_000_000;

/// What the records of an epoch mean: one log, read by one generation of the job, committed in one group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Life {
    /// The job's data epoch.
    pub generation: u64,
    /// Hash of what the job makes of a record ([`JobSpec::meaning`](millstream_spec::JobSpec::meaning)).
    pub meaning: String,
    /// Kafka's id of the topic: another one is another log. Empty while unknown.
    pub topic_id: String,
    /// The consumer group.
    pub group: String,
}

impl Life {
    /// Whether records of the other mean the same. An id that is not known differs from none.
    pub fn is_same(&self, other: &Life) -> bool {
        self.generation == other.generation && self.group == other.group && !self.is_another_log(other)
    }

    /// Whether both know their log, and it is not the same one.
    pub fn is_another_log(&self, other: &Life) -> bool {
        is_another_log(&self.topic_id, &other.topic_id)
    }
}

/// Whether both ids of a topic are known, and not the same: it was deleted and made anew.
pub fn is_another_log(a: &str, b: &str) -> bool {
    !a.is_empty() && !b.is_empty() && a != b
}

/// Why an epoch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The block before is used up.
    Next,
    /// The block before has grown old.
    Cut,
    /// The list begins.
    Start,
    /// A newer generation of the job.
    Generation,
    /// Another log under the topic's name.
    Topic,
    /// Another consumer group.
    Group,
    /// A person moved the group's offset.
    Moved,
    /// The log lost its end.
    Truncated,
    /// Cells are to be written again: a column was dropped and added, or offsets appeared where there were none.
    Repair,
}

impl Why {
    /// All of them, with the word they are stored by.
    pub const ALL: [(Why, &str); 9] = [
        (Why::Next, "next"),
        (Why::Cut, "cut"),
        (Why::Start, "start"),
        (Why::Generation, "generation"),
        (Why::Topic, "topic"),
        (Why::Group, "group"),
        (Why::Moved, "moved"),
        (Why::Truncated, "truncated"),
        (Why::Repair, "repair"),
    ];

    /// The word it is stored by.
    pub fn word(self) -> &'static str {
        Why::ALL.iter().find(|(why, _)| *why == self).map_or("next", |(_, word)| word)
    }

    /// What the word means; none for one of a later release.
    pub fn from_word(word: &str) -> Option<Why> {
        Why::ALL.iter().find(|(_, known)| *known == word).map(|(why, _)| *why)
    }

    /// Whether its owner begins to read there: nothing of this life below `from` is left to be written.
    pub fn is_start(self) -> bool {
        !matches!(self, Why::Next | Why::Cut)
    }
}

/// Timestamps for offsets: those from `from` on have timestamps from `anchor_us` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// First offset.
    pub from: i64,
    /// Number of offsets.
    pub len: i64,
    /// Timestamp of the first offset, in microseconds since the epoch.
    pub anchor_us: i64,
}

impl Block {
    /// First offset after the block.
    pub fn end(&self) -> i64 {
        self.from.saturating_add(self.len)
    }

    /// First timestamp after the block.
    pub fn end_us(&self) -> i64 {
        self.anchor_us.saturating_add(self.len)
    }

    /// Whether it holds the offset.
    pub fn holds(&self, offset: i64) -> bool {
        (self.from..self.end()).contains(&offset)
    }

    /// The timestamp of an offset from `from` on; beyond the block, that after its last one.
    pub fn timestamp_us(&self, offset: i64) -> i64 {
        self.anchor_us.saturating_add((offset - self.from).clamp(0, self.len))
    }
}

/// One entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Its number, counted from 1.
    pub number: u64,
    /// What its records mean.
    pub life: Arc<Life>,
    /// Why it begins.
    pub why: Why,
    /// Its timestamps.
    pub block: Block,
}

/// All below is in the table: the owner says so at most every 30 s, and when it leaves. It outlives Kafka's memory of a
/// commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Lowest offset that is not yet durable.
    pub offset: i64,
    /// The newest epoch its writer knew.
    pub epoch: u64,
    /// Leader epoch of the log there; negative while unknown.
    pub leader: i32,
}

/// Proposes the epoch after `last` that begins at `from` and holds `ahead` offsets. `floor_us`: all timestamps must lie
/// above, whatever comes before.
///
/// Within one life it may begin inside the last block: from there on it gives each offset at least the timestamp that
/// the last one gives it, so a process that still uses the last one loses or writes the same. It then reaches at least to
/// the end of the last one, so that whoever begins beyond an end begins above all that was ever given. Where records get
/// another meaning or are read again it lies above that as well.
pub fn propose(last: Option<&Epoch>, why: Why, from: i64, ahead: i64, now_us: i64, floor_us: i64) -> Block {
    let floor = match last {
        // Above a mark at its end as well, which may be that of another offset.
        Some(last) if why.is_start() || from < last.block.from => last.block.end_us() + 1,
        Some(last) => last.block.timestamp_us(from),
        None => i64::MIN,
    };
    let rest = last.map_or(0, |last| if last.block.holds(from) { last.block.end() - from } else { 0 });
    Block { from, len: ahead.max(rest).clamp(1, LEN_MAX), anchor_us: floor.max(floor_us).max(now_us) }
}

/// What is known about a partition's speed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Speed {
    /// Offsets consumed per second, lately.
    pub consumed_per_sec: f64,
    /// Offsets between the first one without a timestamp and the log end; none while unknown.
    pub backlog: Option<i64>,
    /// Offsets appended per second, lately.
    pub appended_per_sec: f64,
}

/// How many offsets the next block holds: about [`BLOCK_SECS`] of them. Where there is no rate yet, those that wait.
pub fn ahead(speed: Speed, last: Option<Block>) -> i64 {
    let by_rate = speed.consumed_per_sec.max(speed.appended_per_sec) * BLOCK_SECS;
    let wanted = if by_rate < LEN_MIN as f64 { speed.backlog.unwrap_or(0) } else { by_rate as i64 };
    let most = last.map_or(LEN_MAX, |last| last.len.clamp(LEN_MIN, LEN_MAX).saturating_mul(GROWTH_MAX));
    wanted.min(most).clamp(LEN_MIN, LEN_MAX)
}
