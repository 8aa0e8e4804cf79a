//! The blocks one consumer needs now.

use std::time::{Duration, Instant};

use super::{Block, Epoch};

/// Epochs of one list from the position on, oldest first, each beginning above the one before.
#[derive(Debug, Clone)]
pub struct Window {
    epochs: Vec<Epoch>,
    /// Until then the newest block may stamp records that are read for the first time; an older one as much less long as it
    /// was made earlier.
    young_until: Instant,
    /// Offsets below may have been read before: they keep the timestamps they have, however old, unless they are late.
    replay_until: i64,
}

/// A record that was made by so much earlier than its block is not taken for one that was read under it before.
pub const LATE_US: i64 = 60_000_000;

/// What a record needs before it has a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// No block holds it.
    Block,
    /// Its block is old: it needs a younger one, or to be found that another process has made one.
    Younger,
}

impl Window {
    /// Of epochs as a list has them, newest first, down to one that begins at or below the position.
    ///
    /// An epoch that begins at or above a newer one has nothing to say any more.
    pub fn new(newest_first: impl IntoIterator<Item = Epoch>, young_until: Instant, replay_until: i64) -> Self {
        let mut epochs: Vec<Epoch> = vec![];
        for epoch in newest_first {
            if epochs.last().is_none_or(|newer| epoch.block.from < newer.block.from) {
                epochs.push(epoch);
            }
        }
        epochs.reverse();
        Window { epochs, young_until, replay_until }
    }

    /// The newest epoch.
    pub fn last(&self) -> Option<&Epoch> {
        self.epochs.last()
    }

    /// First offset after the newest block.
    pub fn end(&self) -> i64 {
        self.last().map_or(i64::MIN, |last| last.block.end())
    }

    /// What the record at `offset` needs at `now`. `made_ms`: the time that Kafka has for it, in milliseconds since the epoch.
    pub fn need(&self, offset: i64, made_ms: Option<i64>, now: Instant) -> Need {
        let Some(at) = self.index_of(offset) else { return Need::Block };
        let block = &self.epochs[at].block;
        if !block.holds(offset) {
            return Need::Block;
        }
        // Who began the next one inside it had read what lies below: it was stamped by this one. One that begins where this
        // one ends may only have been fetched ahead.
        let was_read = || self.epochs.get(at + 1).is_some_and(|next| next.block.from < block.end());
        let may_be_replayed = || {
            // A record that was made long before its block was either read late, or came late: with what was done by hand in
            // between it must win. A reader may then see an older value while it is written again.
            let since_ms = (block.anchor_us - LATE_US) / 1_000;
            offset < self.replay_until && made_ms.is_none_or(|made_ms| made_ms >= since_ms)
        };
        if may_be_replayed() || self.is_young(block, now) || was_read() {
            return Need::Nothing;
        }
        Need::Younger
    }

    /// Whether a block may stamp records that are read for the first time.
    fn is_young(&self, block: &Block, now: Instant) -> bool {
        let before_newest_us = self.last().map_or(0, |last| last.block.anchor_us.saturating_sub(block.anchor_us));
        now + Duration::from_micros(before_newest_us.max(0) as u64) < self.young_until
    }

    /// Whether the next block should be fetched ahead: an eighth of the newest is left, about a second of traffic.
    pub fn is_almost_used(&self, position: i64) -> bool {
        self.last().is_some_and(|last| {
            position > last.block.from
                && last.block.end() - position <= last.block.len / 8
                && position <= last.block.end()
        })
    }

    /// Appends newer epochs, oldest first. One that begins at or below an older one takes its place.
    pub fn extend(&mut self, epochs: impl IntoIterator<Item = Epoch>, young_until: Instant) {
        for epoch in epochs {
            while self.epochs.pop_if(|older| older.block.from >= epoch.block.from).is_some() {}
            self.epochs.push(epoch);
        }
        self.young_until = young_until;
    }

    /// Forgets epochs that say nothing of offsets from `position` on.
    pub fn prune(&mut self, position: i64) {
        let keep = self.epochs.iter().rposition(|epoch| epoch.block.from <= position).unwrap_or(0);
        self.epochs.drain(..keep);
    }

    /// The timestamp of an offset in microseconds; none where no block holds it.
    pub fn timestamp_us(&self, offset: i64) -> Option<i64> {
        let block = self.block_of(offset)?;
        block.holds(offset).then(|| block.timestamp_us(offset))
    }

    /// The timestamp that lies above all that is stamped below `offset`, and not above that of any later offset.
    pub fn mark_us(&self, offset: i64) -> Option<i64> {
        self.block_of(offset).map(|block| block.timestamp_us(offset))
    }

    /// The oldest timestamp that it gives any offset from `offset` on; none when it gives none.
    pub fn oldest_us(&self, offset: i64) -> Option<i64> {
        let ends = self.epochs.iter().skip(1).map(|next| next.block.from).chain([i64::MAX]);
        let blocks = self.epochs.iter().map(|epoch| epoch.block).zip(ends);
        let first = |(block, next): (Block, i64)| {
            let first = offset.max(block.from);
            (first < block.end().min(next)).then(|| block.timestamp_us(first))
        };
        blocks.filter_map(first).next()
    }

    fn block_of(&self, offset: i64) -> Option<&Block> {
        self.index_of(offset).map(|at| &self.epochs[at].block)
    }

    fn index_of(&self, offset: i64) -> Option<usize> {
        self.epochs.iter().rposition(|epoch| epoch.block.from <= offset)
    }
}
