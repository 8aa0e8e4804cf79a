//! What is still to happen, by time, and in the order it was decided within one millisecond.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use crate::{Ms, event::Event};

#[derive(Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    seq: u64,
}

struct Entry {
    at: Ms,
    seq: u64,
    event: Event,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Ms, event: Event) {
        self.seq += 1;
        self.heap.push(Reverse(Entry { at, seq: self.seq, event }));
    }

    pub(crate) fn pop(&mut self) -> Option<(Ms, Event)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.event))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}
