//! The log, the table, the group's commit, the clock; people, and chance.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{
    super::{Epoch, Life, Mark, YOUNG_US, window::Window},
    Without,
};
use crate::source::start::Committed;

pub(super) const KEYS: u64 = 3;
pub(super) const STEPS: u64 = 140;

pub(super) struct Random(u64);

impl Random {
    /// SplitMix64.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What a cell holds: nothing after a delete by hand.
pub(super) type Value = Option<(u64, u64, i64)>; // log, generation, offset

#[derive(Clone, Copy)]
pub(super) struct Write {
    pub(super) key: u64,
    pub(super) ts: i64,
    pub(super) value: Value,
}

pub(super) struct Record {
    pub(super) id: u64,
    pub(super) at_us: i64,
}

impl Record {
    /// Each generation makes another row of it.
    pub(super) fn key(&self, generation: u64) -> u64 {
        (self.id + generation) % KEYS
    }
}

pub(super) struct Process {
    pub(super) life: Arc<Life>,
    pub(super) window: Window,
    pub(super) position: i64,
    /// Offsets written and not acknowledged; those below are durable.
    pub(super) open: BTreeMap<i64, Write>,
    /// By how much its clock is behind.
    pub(super) behind_us: i64,
}

impl Process {
    pub(super) fn durable(&self) -> i64 {
        self.open.keys().next().copied().unwrap_or(self.position)
    }

    pub(super) fn epoch(&self) -> u64 {
        self.window.last().map_or(0, |last| last.number)
    }
}

pub(super) struct World {
    pub(super) without: Without,
    pub(super) random: Random,
    pub(super) is_slow: bool,
    pub(super) begin: Instant,
    pub(super) now_us: i64,
    pub(super) log: Vec<Record>,
    pub(super) log_id: u64,
    pub(super) epochs: Vec<Epoch>,
    pub(super) mark: Option<(i64, Mark)>,
    pub(super) committed: Option<Committed>,
    pub(super) cells: BTreeMap<u64, (i64, Value)>,
    pub(super) late: Vec<Write>,
    pub(super) processes: Vec<Process>,
    pub(super) generation: u64,
    pub(super) deleted_us: BTreeMap<u64, i64>,
}

impl World {
    pub(super) fn new(seed: u64, without: Without) -> World {
        World {
            without,
            random: Random(seed),
            is_slow: seed.is_multiple_of(3),
            begin: Instant::now(),
            now_us: 1_000_000_000,
            log: vec![],
            log_id: 1,
            epochs: vec![],
            mark: None,
            committed: None,
            cells: BTreeMap::new(),
            late: vec![],
            processes: vec![],
            generation: 1,
            deleted_us: BTreeMap::new(),
        }
    }

    pub(super) fn run(mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            self.step();
        }
        self.settle();
        self.check()
    }

    pub(super) fn step(&mut self) {
        self.pass();
        match self.random.below(100) {
            0..=19 => self.append_records(),
            20..=24 if self.processes.len() < 3 => self.start(),
            25..=56 => self.with_one(Self::read),
            57..=59 => self.with_one(Self::look),
            60..=74 => self.with_one(Self::acknowledge),
            75..=80 => self.with_one(Self::commit),
            81..=83 => self.with_one(Self::put_mark),
            84..=86 => self.crash(),
            87 => self.committed = None,
            88 => self.now_us += (YOUNG_US as u64 + self.random.below(20_000_000)) as i64,
            89..=90 => self.delete_by_hand(),
            91 if self.generation < 3 && self.random.one_in(2) => self.generation += 1,
            92 if self.log_id < 3 && self.random.one_in(3) => self.remake_topic(),
            93 if self.committed.is_some() => self.person_rewinds(),
            94..=99 => self.deliver_late(),
            _ => {}
        }
    }

    /// In some seeds so little that blocks reach ahead of the clock.
    pub(super) fn pass(&mut self) {
        let most_us = if self.is_slow { 4 } else { 40_000 };
        self.now_us += self.random.below(most_us) as i64;
    }

    pub(super) fn append_records(&mut self) {
        for _ in 0..=self.random.below(4) {
            let id = self.random.below(KEYS);
            self.log.push(Record { id, at_us: self.now_us });
        }
    }

    pub(super) fn with_one(&mut self, act: impl FnOnce(&mut Self, usize)) {
        if !self.processes.is_empty() {
            let index = self.random.below(self.processes.len() as u64) as usize;
            act(self, index);
        }
    }

    pub(super) fn apply(&mut self, Write { key, ts, value }: Write) {
        let cell = self.cells.entry(key).or_insert((i64::MIN, None));
        // Equal timestamps: a delete wins, else the larger value.
        if (ts, value.is_none(), value) > (cell.0, cell.1.is_none(), cell.1) {
            *cell = (ts, value);
        }
    }

    pub(super) fn crash(&mut self) {
        self.with_one(Self::end);
    }

    pub(super) fn deliver_late(&mut self) {
        if !self.late.is_empty() {
            let nth = self.random.below(self.late.len() as u64) as usize;
            let write = self.late.swap_remove(nth);
            if !self.random.one_in(4) {
                self.apply(write);
            }
        }
    }

    pub(super) fn delete_by_hand(&mut self) {
        let key = self.random.below(KEYS);
        self.apply(Write { key, ts: self.now_us, value: None });
        self.deleted_us.insert(key, self.now_us);
        self.now_us += 1;
    }

    /// Executors notice, each in its time; here at once, for what they read would be another log.
    pub(super) fn remake_topic(&mut self) {
        while !self.processes.is_empty() {
            self.end(0);
        }
        self.log.clear();
        self.log_id += 1;
        // Kafka forgets the commits with the topic; one of an executor that still ran may come after that. What a person said
        // of the log before can't be obeyed: it is refused, aloud.
        if self.random.one_in(2) || self.committed.is_some_and(|committed| committed.by.is_none()) {
            self.committed = None;
        }
        self.now_us += 1;
    }

    pub(super) fn person_rewinds(&mut self) {
        let offset = self.random.below(self.log.len() as u64 + 1) as i64;
        // Back, as the newest version knows it: a person who moves it forward wants records to be left out.
        let Some(newest) = self.epochs.last().map(|epoch| epoch.life.clone()) else { return };
        let of_newest = self.processes.iter().filter(|process| process.life == newest);
        let Some(known) = of_newest.map(Process::durable).min() else { return };
        self.committed = Some(Committed { offset: offset.min(known), leader: -1, by: None });
    }

    /// In half of the seeds executors of the newest version go on side by side and crash; then one is left to end it alone.
    pub(super) fn settle(&mut self) {
        let crowded = if self.random.one_in(2) { 400 } else { 0 };
        for _ in 0..crowded {
            self.pass();
            if self.processes.len() < 2 {
                self.start();
            }
            self.with_one(Self::read);
            self.with_one(Self::acknowledge);
            self.with_one(Self::commit);
            self.with_one(Self::put_mark);
            if self.random.one_in(20) {
                self.crash();
            }
        }
        // It is one that was there, if there is any of the newest version; what the others left under way arrives in any order.
        while let Some(old) = self.processes.iter().position(|process| process.life.generation != self.generation) {
            self.end(old);
        }
        while self.processes.len() > 1 {
            self.crash();
        }
        for _ in 0..10_000 {
            self.pass();
            self.deliver_late();
            if self.processes.is_empty() {
                self.start();
            }
            self.with_one(Self::look);
            self.with_one(Self::read);
            self.with_one(Self::acknowledge);
            let is_done = self
                .processes
                .first()
                .is_some_and(|process| process.position >= self.log.len() as i64 && process.open.is_empty());
            if is_done && self.late.is_empty() {
                return;
            }
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        // Rows of the newest life: nothing older may win over them.
        let newest = self.epochs.last().map(|epoch| epoch.life.clone()).unwrap_or_default();
        let of_life = self.epochs.iter().rev().take_while(|epoch| epoch.life == newest);
        let begin = of_life.map(|epoch| epoch.block.from).min().unwrap_or(0);
        if (newest.generation, newest.topic_id.as_str()) != (self.generation, format!("t{}", self.log_id).as_str()) {
            return Err(format!("the newest life is {newest:?}"));
        }
        let records = self.log.iter().enumerate().skip(begin as usize);
        let last: BTreeMap<u64, (i64, &Record)> =
            records.map(|(at, record)| (record.key(newest.generation), (at as i64, record))).collect();
        for (key, (offset, record)) in last {
            if self.deleted_us.get(&key).is_some_and(|deleted_us| record.at_us <= deleted_us + YOUNG_US) {
                continue; // deleted, or written again: both are right
            }
            let found = self.cells.get(&key).and_then(|(_, value)| *value);
            if found != Some((self.log_id, self.generation, offset)) {
                let list: Vec<String> = self.epochs.iter().map(|epoch| format!("{epoch:?}")).collect();
                let list = list.join("\n");
                return Err(format!(
                    "key {key}: offset {offset} of log {} is wanted, {found:?} is there\n{list}",
                    self.log_id
                ));
            }
        }
        Ok(())
    }
}
