//! Timestamp blocks (delivery.md D1, D5): every process that ever handles an offset writes the same timestamp.
//!
//! Map: this file is the arithmetic, pure; [`keeper`] is the protocol on a write-once list, [`store`] that list in
//! Cassandra.
//!
//! Invariants, for one partition and generation: blocks follow one another without a gap from offset 0; timestamps
//! grow strictly with the offset; nothing follows a block of length 0.

pub mod keeper;
pub mod store;

#[cfg(test)]
mod tests;

/// Longest block: its timestamps run at most this many µs (one second) ahead of the wall clock.
pub const LEN_MAX: i64 = 1 << 20;

/// Shortest block of a partition that has shown no rate yet. Short, because a slow partition would live on it for long
/// and its timestamps would fall behind the clock; the next one grows with the rate.
pub const LEN_FIRST: i64 = 64;

/// A block is meant to last this long.
pub const BLOCK_SECS: f64 = 10.0;

/// Most by which a block may be longer than the one before, so that a burst doesn't buy hours of a slow stream.
const GROWTH_MAX: i64 = 16;

/// An anchor this far ahead of the coordinator's clock is refused: this machine's clock is wrong.
pub const AHEAD_MAX_US: i64 = 60_000_000;

/// One entry of the list: offsets from `from` on have timestamps from `anchor_us` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// First offset.
    pub from: i64,
    /// Number of offsets; 0 seals the list.
    pub len: i64,
    /// Timestamp of the first offset, in microseconds since the epoch.
    pub anchor_us: i64,
}

impl Block {
    /// Seals the list of a generation that was never used.
    pub const UNUSED: Block = Block { from: 0, len: 0, anchor_us: 0 };

    /// Of a list's first block: an offset at or before the one at which its generation began, which lies in the block and,
    /// when it was made, at most [`LEN_MAX`] before its end (see [`propose`]).
    pub fn began_from(&self) -> i64 {
        (self.len - LEN_MAX).max(0)
    }

    /// First offset after the block.
    pub fn end(&self) -> i64 {
        self.from + self.len
    }

    /// First timestamp after the block.
    pub fn end_us(&self) -> i64 {
        self.anchor_us + self.len
    }

    /// Whether the list ends here (D5).
    pub fn is_seal(&self) -> bool {
        self.len == 0
    }

    /// Whether it holds the offset.
    pub fn holds(&self, offset: i64) -> bool {
        (self.from..self.end()).contains(&offset)
    }

    /// The block that ends the list after this one.
    pub fn seal(&self) -> Block {
        Block { from: self.end(), len: 0, anchor_us: self.end_us() }
    }
}

/// Proposes the block that holds `position` and `ahead` offsets from there on.
///
/// Offsets between the end of `last` and `position` (retention, compaction, aborted transactions) belong to it too,
/// and lie in the past: it is `position` that gets a timestamp near the clock.
pub fn propose(last: Option<Block>, sealed: Option<Block>, position: i64, ahead: i64, now_us: i64) -> Block {
    let from = last.map_or(0, |last| last.end());
    let skipped = (position - from).max(0);
    let floor = match (last, sealed) {
        (Some(last), _) => last.end_us(),
        // Above the same offset of the older generation (whose newest block ends in the seal), and at `position`
        // above all of it.
        (None, Some(seal)) => seal.anchor_us - position.min(seal.from) + 1,
        (None, None) => i64::MIN,
    };
    Block { from, len: skipped + ahead.max(1), anchor_us: floor.max(now_us - skipped) }
}

/// What is known about a partition's speed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Speed {
    /// Records consumed per second, lately.
    pub consumed_per_sec: f64,
    /// Records between the first offset without a timestamp and the log end; none while unknown.
    pub backlog: Option<i64>,
    /// Records appended per second, lately.
    pub appended_per_sec: f64,
}

/// How many offsets the next block reaches ahead: about [`BLOCK_SECS`] of them.
pub fn ahead(speed: Speed, last: Option<Block>) -> i64 {
    let by_rate = speed.consumed_per_sec.max(speed.appended_per_sec) * BLOCK_SECS;
    let grown = last.map_or(LEN_FIRST, |last| last.len.clamp(LEN_FIRST, LEN_MAX).saturating_mul(GROWTH_MAX));
    let mut len = by_rate.min(grown as f64).max(LEN_FIRST as f64) as i64;
    if let Some(backlog) = speed.backlog {
        // A backlog is consumed fast, whatever the rate was; and after it only what is appended comes.
        let expected = backlog.saturating_add((speed.appended_per_sec * BLOCK_SECS) as i64).max(LEN_FIRST);
        len = if last.is_none() { expected } else { len.min(expected) };
    }
    len.clamp(1, LEN_MAX)
}

/// The blocks one consumer needs now: consecutive, from the position on.
#[derive(Debug, Clone, Default)]
pub struct Window {
    blocks: Vec<Block>,
}

impl Window {
    /// Of consecutive blocks.
    pub fn new(blocks: Vec<Block>) -> Self {
        debug_assert!(blocks.windows(2).all(|pair| pair[0].end() == pair[1].from));
        Window { blocks }
    }

    /// First offset that has no timestamp yet.
    pub fn end(&self) -> i64 {
        self.blocks.last().map_or(i64::MIN, Block::end)
    }

    /// The newest block.
    pub fn last(&self) -> Option<Block> {
        self.blocks.last().copied()
    }

    /// Whether the next block should be fetched: half of the newest is used up.
    pub fn wants_more(&self, position: i64) -> bool {
        self.last().is_none_or(|last| last.end() - position <= last.len / 2)
    }

    /// Appends the next blocks.
    pub fn extend(&mut self, blocks: impl IntoIterator<Item = Block>) {
        self.blocks.extend(blocks);
        debug_assert!(self.blocks.windows(2).all(|pair| pair[0].end() == pair[1].from));
    }

    /// Forgets blocks that end at or before `position`, except the newest.
    pub fn prune(&mut self, position: i64) {
        let keep = self.blocks.iter().position(|block| block.end() > position).unwrap_or(self.blocks.len());
        self.blocks.drain(..keep.min(self.blocks.len().saturating_sub(1)));
    }

    /// The timestamp of an offset in microseconds; none outside the window.
    pub fn timestamp_us(&self, offset: i64) -> Option<i64> {
        let block = self.blocks.iter().rev().find(|block| block.from <= offset)?;
        block.holds(offset).then(|| block.anchor_us + (offset - block.from))
    }
}
