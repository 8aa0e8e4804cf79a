//! The data path in small: logs that grow, timestamp blocks, a table that keeps the newest timestamp, commits.
//!
//! delivery.md D1 to D5. Of the checks, only those on the generation a row was written under can be broken by a
//! scheduler; the others hold whatever it does, which is what makes a wrong suspicion harmless, and they are checked too.

use std::collections::BTreeMap;

use crate::Ms;

/// Keys of each partition.
const KEYS: usize = 8;

/// Offsets of a timestamp block.
const BLOCK: i64 = 64;

/// One partition: its log, what the table holds of it, and what was committed.
#[derive(Default)]
pub(crate) struct Partition {
    /// Records per second.
    rate: u64,
    began: Ms,
    ended: Option<Ms>,
    /// By key: the row that is read.
    cells: [Option<Cell>; KEYS],
    /// By offset: written at least once.
    applied: Vec<bool>,
    /// Lowest offset never written.
    prefix: i64,
    /// By generation. In one group for all, an executor of an older generation that wakes up commits what only it has
    /// written: the newer one, once restarted, would pass over it, and its rows would stay below older ones for ever.
    committed: BTreeMap<u64, i64>,
    /// Timestamp blocks by generation.
    blocks: BTreeMap<u64, Blocks>,
    /// By generation: the lowest offset it has ever written.
    first: BTreeMap<u64, i64>,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    stamp: i64,
    offset: i64,
    generation: u64,
}

#[derive(Default)]
struct Blocks {
    list: Vec<Block>,
    sealed: bool,
}

#[derive(Clone, Copy)]
struct Block {
    from: i64,
    len: i64,
    anchor: i64,
}

impl Partition {
    pub(crate) fn new(rate: u64, began: Ms) -> Self {
        Partition { rate, began, ..Partition::default() }
    }

    /// Producers end.
    pub(crate) fn end(&mut self, now: Ms) {
        self.ended.get_or_insert(now);
    }

    pub(crate) fn log_end(&self, now: Ms) -> i64 {
        let until = self.ended.unwrap_or(now).min(now);
        (until.saturating_sub(self.began) * self.rate / 1_000) as i64
    }

    pub(crate) fn is_caught_up(&self, now: Ms) -> bool {
        self.prefix == self.log_end(now)
    }

    pub(crate) fn progress(&self, now: Ms) -> String {
        let generations: Vec<_> = self.blocks.iter().map(|(generation, blocks)| (generation, blocks.sealed)).collect();
        let (end, prefix, committed) = (self.log_end(now), self.prefix, &self.committed);
        format!("end {end}, durable {prefix}, committed {committed:?}, generations and seals {generations:?}")
    }

    /// The timestamp of an offset (D1); none when a newer generation has taken over (D5).
    pub(crate) fn stamp(&mut self, generation: u64, offset: i64, now: Ms) -> Option<i64> {
        let now_us = now as i64 * 1_000;
        if !self.blocks.contains_key(&generation) {
            if self.blocks.range(generation..).next().is_some() {
                self.blocks.insert(generation, Blocks { sealed: true, ..Blocks::default() });
                return None;
            }
            let ends = self.blocks.values().filter_map(|blocks| blocks.list.last()).map(|last| last.anchor + last.len);
            // Keyed at 0, whatever is read first: two processes that begin at different offsets agree.
            let anchor = ends.max().unwrap_or(0).max(now_us - offset);
            self.blocks.values_mut().for_each(|blocks| blocks.sealed = true);
            let first = Block { from: 0, len: offset + BLOCK, anchor };
            self.blocks.insert(generation, Blocks { list: vec![first], sealed: false });
        }
        let blocks = self.blocks.get_mut(&generation)?;
        loop {
            let last = *blocks.list.last()?;
            if offset < last.from + last.len {
                break;
            }
            if blocks.sealed {
                return None;
            }
            let anchor = (last.anchor + last.len).max(now_us);
            blocks.list.push(Block { from: last.from + last.len, len: BLOCK, anchor });
        }
        let block = blocks.list.iter().rev().find(|block| block.from <= offset)?;
        Some(block.anchor + (offset - block.from))
    }

    /// A write becomes durable. Says what must not be.
    pub(crate) fn apply(&mut self, generation: u64, offset: i64, stamp: i64) -> Result<(), String> {
        let first = self.first.entry(generation).or_insert(offset);
        *first = offset.min(*first);
        if self.applied.len() <= offset as usize {
            self.applied.resize(offset as usize + 1, false);
        }
        self.applied[offset as usize] = true;
        while self.applied.get(self.prefix as usize) == Some(&true) {
            self.prefix += 1;
        }
        let cell = &mut self.cells[offset as usize % KEYS];
        let new = Cell { stamp, offset, generation };
        match *cell {
            Some(old) if old.stamp > stamp => {}
            Some(old) if (old.generation, old.offset) > (generation, offset) => {
                return Err(format!("I3: a reader sees {old:?} and then {new:?}"));
            }
            _ => *cell = Some(new),
        }
        Ok(())
    }

    /// Where a task begins: where its generation was, else where the one before it was.
    pub(crate) fn start(&self, generation: u64) -> i64 {
        self.committed.range(..=generation).next_back().map_or(0, |(_, offset)| *offset)
    }

    pub(crate) fn commit(&mut self, generation: u64, offset: i64) -> Result<(), String> {
        self.committed.insert(generation, offset);
        if offset > self.prefix {
            return Err(format!("I4: committed {offset}, but durable is only what is below {}", self.prefix));
        }
        Ok(())
    }

    /// Is the table the fold of the log?
    pub(crate) fn check_fold(&self, now: Ms) -> Result<(), String> {
        let end = self.log_end(now);
        for key in 0..KEYS as i64 {
            let last = (0..end).rev().find(|offset| offset % KEYS as i64 == key);
            let seen = self.cells[key as usize];
            if seen.map(|cell| cell.offset) != last {
                return Err(format!("I1: key {key} shows {seen:?}, the log's last is {last:?}"));
            }
            let owner = |offset: i64| self.first.iter().filter(|(_, first)| **first <= offset).map(|(g, _)| *g).max();
            if let Some(cell) = seen
                && Some(cell.generation) != owner(cell.offset)
            {
                return Err(format!("I2: key {key} shows {cell:?}, but {:?} has processed it", owner(cell.offset)));
            }
        }
        Ok(())
    }
}
