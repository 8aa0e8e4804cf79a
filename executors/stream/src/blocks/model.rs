//! A seeded model of one partition: executors that crash, pause and wake up, two owners at once, writes that arrive late and
//! in any order, commits that are moved back or forgotten, clocks that are wrong, deletes by hand, new generations, a topic
//! made anew. The rules are the real ones ([`decide`], [`propose`], [`Window`]); each left out in turn must be found.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use millstream_spec::Start;

use super::{
    Block, Epoch, Life, Mark, Why, YOUNG_US, propose,
    window::{Need, Window},
};
use crate::source::start::{By, Committed, Facts, Known, decide};

/// A rule that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    /// A commit counts only up to where the next epoch begins.
    EpochOfCommit,
    /// So does a mark.
    EpochOfMark,
    /// A new block lies above what the last one gives from there on.
    Floor,
    /// A new meaning lies above all that was ever given.
    FloorOfStart,
    /// Only the first append of a number happens.
    Condition,
    /// An old block stamps nothing new.
    Young,
    /// Who reads beyond where another begins goes back there.
    GoingBack,
    /// Another topic id is another log.
    TopicId,
    /// What is durable is marked.
    MarkItself,
    /// An older generation ends where a newer one begins.
    Seal,
    /// The cluster's clock counts where ours is behind.
    ClusterClock,
}

const RULES: [Without; 11] = [
    Without::EpochOfCommit,
    Without::EpochOfMark,
    Without::Floor,
    Without::FloorOfStart,
    Without::Condition,
    Without::Young,
    Without::GoingBack,
    Without::TopicId,
    Without::MarkItself,
    Without::Seal,
    Without::ClusterClock,
];

const KEYS: u64 = 3;
const STEPS: u64 = 140;
/// Blocks are this short here, so that their ends are met.
const LEN: i64 = 12;

struct Random(u64);

impl Random {
    /// SplitMix64.
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What a cell holds: nothing after a delete by hand.
type Value = Option<(u64, u64, i64)>; // log, generation, offset

#[derive(Clone, Copy)]
struct Write {
    key: u64,
    ts: i64,
    value: Value,
}

struct Record {
    id: u64,
    at_us: i64,
}

impl Record {
    /// Each generation makes another row of it.
    fn key(&self, generation: u64) -> u64 {
        (self.id + generation) % KEYS
    }
}

struct Process {
    life: Arc<Life>,
    window: Window,
    position: i64,
    /// Offsets written and not acknowledged; those below are durable.
    open: BTreeMap<i64, Write>,
    word: (i64, u64),
    clock_us: i64,
}

impl Process {
    fn durable(&self) -> i64 {
        self.open.keys().next().copied().unwrap_or(self.position)
    }

    fn epoch(&self) -> u64 {
        self.window.last().map_or(0, |last| last.number)
    }
}

struct World {
    without: Without,
    random: Random,
    is_slow: bool,
    begin: Instant,
    now_us: i64,
    log: Vec<Record>,
    log_id: u64,
    epochs: Vec<Epoch>,
    mark: Option<(i64, Mark)>,
    committed: Option<Committed>,
    cells: BTreeMap<u64, (i64, Value)>,
    late: Vec<Write>,
    processes: Vec<Process>,
    generation: u64,
    deleted_us: BTreeMap<u64, i64>,
}

impl World {
    fn new(seed: u64, without: Without) -> World {
        World {
            without,
            random: Random(seed),
            is_slow: seed % 3 == 0,
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

    fn run(mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            self.step();
        }
        self.settle();
        self.check()
    }

    fn step(&mut self) {
        self.pass();
        match self.random.below(100) {
            0..=19 => self.append_records(),
            20..=24 if self.processes.len() < 3 => self.start(),
            25..=59 => self.with_one(Self::read),
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
    fn pass(&mut self) {
        let most_us = if self.is_slow { 4 } else { 40_000 };
        self.now_us += self.random.below(most_us) as i64;
    }

    fn append_records(&mut self) {
        for _ in 0..=self.random.below(4) {
            let id = self.random.below(KEYS);
            self.log.push(Record { id, at_us: self.now_us });
        }
    }

    fn me(&self) -> Life {
        let log = if self.without == Without::TopicId { 1 } else { self.log_id };
        let (generation, meaning) = (self.generation, format!("m{}", self.generation));
        Life { generation, meaning, topic_id: format!("t{log}"), group: "g".into() }
    }

    /// Clocks of processes are up to an hour behind; ahead by more than a little they are refused.
    fn start(&mut self) {
        let behind_us = if self.random.one_in(4) { 3_600_000_000 } else { 0 };
        let mut committed = self.committed;
        if self.without == Without::EpochOfCommit
            && let Some(by) = committed.as_mut().and_then(|committed| committed.by.as_mut())
        {
            by.epoch = u64::MAX - 1;
        }
        let mut mark = self.mark.map(|(_, mark)| mark).filter(|_| self.without != Without::MarkItself);
        if self.without == Without::EpochOfMark
            && let Some(mark) = &mut mark
        {
            mark.epoch = u64::MAX - 1;
        }
        let mut newest_first: Vec<Epoch> = self.epochs.iter().rev().cloned().collect();
        if self.without == Without::MarkItself {
            // As before there were lists that tell: a list that has begun is one that has not.
            newest_first.clear();
        }
        let log_end = self.log.len() as i64;
        let facts = Facts { committed, log_start: 0, log_end, at_start_time: None, is_later: false };
        let known = Known { epochs: &newest_first, mark };
        let start = if self.without == Without::MarkItself { Start::Latest } else { Start::Earliest };
        let Ok((position, life)) = decide(&self.me(), facts, known, start) else { return };
        let clock_us = self.now_us - behind_us;
        let mut process = Process {
            life: life.clone(),
            window: Window::new(self.epochs.iter().rev().cloned(), self.begin, position.offset),
            position: position.offset,
            open: BTreeMap::new(),
            word: (position.offset, 0),
            clock_us: behind_us,
        };
        if let Some(why) = position.begins {
            let last = self.epochs.last().cloned();
            let epoch = self.propose(last.as_ref(), &life, why, position.offset, clock_us);
            self.epochs.push(epoch);
        }
        let newest = self.epochs.last().map(|epoch| epoch.block);
        let replay_until = match newest {
            Some(block) if position.begins.is_none() && block.end() > position.offset => self.replay_until(block),
            _ => position.offset,
        };
        let young_until = self.young_until(newest);
        process.window = Window::new(self.epochs.iter().rev().cloned(), young_until, replay_until);
        let by = By { generation: life.generation, epoch: process.epoch() };
        self.committed = Some(Committed { offset: position.offset, leader: -1, by: Some(by) });
        process.word = (position.offset, by.epoch);
        self.processes.push(process);
    }

    fn replay_until(&self, block: Block) -> i64 {
        let old_at_us = block.anchor_us + YOUNG_US;
        if old_at_us >= self.now_us {
            return self.log.len() as i64;
        }
        self.log.partition_point(|record| record.at_us < old_at_us) as i64
    }

    fn young_until(&self, newest: Option<Block>) -> Instant {
        // By the wrong clock alone a block that was made just now is young.
        let is_wrong = self.without == Without::ClusterClock;
        let anchor_us = if is_wrong { self.now_us } else { newest.map_or(0, |block| block.anchor_us) };
        self.at((anchor_us + YOUNG_US).min(self.now_us + YOUNG_US))
    }

    fn at(&self, us: i64) -> Instant {
        self.begin + Duration::from_micros(us.max(0) as u64)
    }

    fn propose(&self, last: Option<&Epoch>, life: &Arc<Life>, why: Why, from: i64, clock_us: i64) -> Epoch {
        let now_us = if self.without == Without::ClusterClock { clock_us } else { clock_us.max(self.now_us) };
        let as_why = if self.without == Without::FloorOfStart && why.is_start() { Why::Next } else { why };
        let mut block = propose(last, as_why, from, LEN, now_us, i64::MIN);
        if self.without == Without::Floor && !why.is_start() {
            block.anchor_us = clock_us;
        }
        Epoch { number: last.map_or(1, |last| last.number + 1), life: life.clone(), why, block }
    }

    fn with_one(&mut self, act: impl FnOnce(&mut Self, usize)) {
        if !self.processes.is_empty() {
            let index = self.random.below(self.processes.len() as u64) as usize;
            act(self, index);
        }
    }

    /// Reads what there is, up to a few records; its life must be that of the log that is there.
    fn read(&mut self, index: usize) {
        for _ in 0..=self.random.below(5) {
            let position = self.processes[index].position;
            let Some(record) = self.log.get(position as usize) else { return };
            let key = record.key(self.processes[index].life.generation);
            let is_young =
                self.without == Without::Young || self.processes[index].window.is_young(self.at(self.now_us));
            match self.processes[index].window.need(position, is_young) {
                Need::Nothing => {}
                need => {
                    if !self.extend(index, position, need == Need::Younger) {
                        return;
                    }
                    continue;
                }
            }
            let process = &mut self.processes[index];
            let ts = process.window.timestamp_us(position).expect("it needs nothing");
            let value = Some((self.log_id, process.life.generation, position));
            process.open.insert(position, Write { key, ts, value });
            process.position += 1;
        }
    }

    /// Whether the process goes on.
    fn extend(&mut self, index: usize, position: i64, cut: bool) -> bool {
        let process = &self.processes[index];
        let Some(last) = process.window.last().cloned() else { return false };
        let (why, from) = match last.block {
            block if position < block.from => (Why::Next, position),
            block if cut && block.holds(position) => (Why::Cut, position),
            block => (Why::Next, position.max(block.end())),
        };
        let (life, clock_us) = (process.life.clone(), self.now_us - process.clock_us);
        let epoch = self.propose(Some(&last), &life, why, from, clock_us);
        let there = match self.epochs.get(last.number as usize) {
            Some(there) if self.without != Without::Condition => there.clone(),
            Some(_) => {
                self.epochs[last.number as usize] = epoch.clone();
                epoch
            }
            None => {
                self.epochs.push(epoch.clone());
                epoch
            }
        };
        let foreign = there.life.generation != life.generation && self.without != Without::Seal;
        let other_log = there.life.is_another_log(&life);
        let below = there.block.from < process.position && self.without != Without::GoingBack;
        if foreign || other_log || below {
            // It begins anew, or ends: what it has under way may arrive all the same.
            self.end(index);
            return false;
        }
        let young_until = self.young_until(Some(there.block));
        self.processes[index].window.extend([there], young_until);
        true
    }

    fn acknowledge(&mut self, index: usize) {
        for _ in 0..=self.random.below(6) {
            let count = self.processes[index].open.len() as u64;
            if count == 0 {
                return;
            }
            let nth = self.random.below(count) as usize;
            let Some((offset, write)) = self.processes[index].open.iter().nth(nth).map(|(o, w)| (*o, *w)) else {
                return;
            };
            self.processes[index].open.remove(&offset);
            self.apply(write);
            // The same request again, later: a replica that was away.
            if self.random.one_in(3) {
                self.late.push(write);
            }
        }
    }

    fn apply(&mut self, Write { key, ts, value }: Write) {
        let cell = self.cells.entry(key).or_insert((i64::MIN, None));
        // Equal timestamps: a delete wins, else the larger value.
        if (ts, value.is_none(), value) > (cell.0, cell.1.is_none(), cell.1) {
            *cell = (ts, value);
        }
    }

    /// Sometimes without looking: it slept between its look and its commit.
    fn commit(&mut self, index: usize) {
        let process = &self.processes[index];
        let (epoch, offset) = (process.epoch(), process.durable());
        if self.committed.is_some_and(|seen| seen.by.is_none()) && !self.random.one_in(10) {
            return self.end(index);
        }
        let by = Some(By { generation: process.life.generation, epoch });
        self.committed = Some(Committed { offset, leader: -1, by });
        self.processes[index].word = (offset, epoch);
    }

    fn put_mark(&mut self, index: usize) {
        let process = &self.processes[index];
        let offset = process.durable();
        let Some(ts) = process.window.mark_us(offset) else { return };
        let mark = Mark { offset, epoch: process.epoch(), leader: -1 };
        if self.mark.is_none_or(|(there, _)| there < ts) {
            self.mark = Some((ts, mark));
        }
    }

    fn crash(&mut self) {
        self.with_one(Self::end);
    }

    /// What is under way arrives later, or never.
    fn end(&mut self, index: usize) {
        let process = self.processes.swap_remove(index);
        self.late.extend(process.open.into_values());
    }

    fn deliver_late(&mut self) {
        if !self.late.is_empty() {
            let nth = self.random.below(self.late.len() as u64) as usize;
            let write = self.late.swap_remove(nth);
            if !self.random.one_in(4) {
                self.apply(write);
            }
        }
    }

    fn delete_by_hand(&mut self) {
        let key = self.random.below(KEYS);
        self.apply(Write { key, ts: self.now_us, value: None });
        self.deleted_us.insert(key, self.now_us);
        self.now_us += 1;
    }

    /// Executors notice, each in its time; here at once, for what they read would be another log.
    fn remake_topic(&mut self) {
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

    fn person_rewinds(&mut self) {
        let offset = self.random.below(self.log.len() as u64 + 1) as i64;
        // Back, as the newest version knows it: a person who moves it forward wants records to be left out.
        let Some(newest) = self.epochs.last().map(|epoch| epoch.life.clone()) else { return };
        let of_newest = self.processes.iter().filter(|process| process.life == newest);
        let Some(known) = of_newest.map(Process::durable).min() else { return };
        self.committed = Some(Committed { offset: offset.min(known), leader: -1, by: None });
    }

    /// One executor of the newest version reads all; zombies go on beside it; all that is under way arrives.
    fn settle(&mut self) {
        for _ in 0..400 {
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
        while !self.processes.is_empty() {
            self.end(0);
        }
        // A last one alone; what was left of the others arrives in any order, beside it.
        for _ in 0..10_000 {
            self.pass();
            self.deliver_late();
            if self.processes.is_empty() {
                self.start();
            }
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

    fn check(&self) -> Result<(), String> {
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

fn run(seed: u64, without: Without) -> Result<(), String> {
    World::new(seed, without).run()
}

fn seeds(default: u64) -> u64 {
    std::env::var("MODEL_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn no_seed_ends_with_a_wrong_table() {
    for seed in 0..seeds(300_000) {
        if let Err(wrong) = run(seed, Without::Nothing) {
            panic!("seed {seed}: {wrong}");
        }
    }
}

/// Each rule is needed: without it some seed ends wrong.
#[test]
fn each_rule_left_out_is_found() {
    for rule in RULES {
        let found = (0..seeds(100_000)).find(|seed| run(*seed, rule).is_err());
        let seed = found.unwrap_or_else(|| panic!("{rule:?} is not missed"));
        println!("{rule:?}: seed {seed}");
    }
}
