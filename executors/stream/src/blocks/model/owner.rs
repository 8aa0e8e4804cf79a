//! What an executor does with one partition: begins, reads, stamps, commits, marks. As `engine` does it, around the same rules.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use millstream_spec::Start;

use super::{
    super::{
        Block, Epoch, Life, Mark, Why, YOUNG_US,
        keeper::changed,
        propose,
        window::{Need, Window},
    },
    Without,
    world::{Process, World, Write},
};
use crate::source::start::{By, Committed, Facts, Known, decide};

/// Blocks are this short here, so that their ends are met.
const LEN: i64 = 12;

impl World {
    pub(super) fn me(&self) -> Life {
        let log = if self.without == Without::TopicId { 1 } else { self.log_id };
        let (generation, meaning) = (self.generation, format!("m{}", self.generation));
        Life { generation, meaning, topic_id: format!("t{log}"), group: "g".into() }
    }

    /// Clocks of processes are up to an hour behind; ahead by more than a little they are refused.
    pub(super) fn start(&mut self) {
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
        let window = Window::new(self.epochs.iter().rev().cloned(), young_until, replay_until);
        let process = Process { life, window, position: position.offset, open: BTreeMap::new(), behind_us };
        let by = By { generation: process.life.generation, epoch: process.epoch(), has_left: false };
        self.committed = Some(Committed { offset: position.offset, leader: -1, by: Some(by) });
        self.processes.push(process);
    }

    pub(super) fn replay_until(&self, block: Block) -> i64 {
        let old_at_us = block.anchor_us + YOUNG_US;
        if old_at_us >= self.now_us {
            return self.log.len() as i64;
        }
        self.log.partition_point(|record| record.at_us < old_at_us) as i64
    }

    pub(super) fn young_until(&self, newest: Option<Block>) -> Instant {
        // By the wrong clock alone a block that was made just now is young.
        let is_wrong = self.without == Without::ClusterClock;
        let anchor_us = if is_wrong { self.now_us } else { newest.map_or(0, |block| block.anchor_us) };
        self.at((anchor_us + YOUNG_US).min(self.now_us + YOUNG_US))
    }

    pub(super) fn at(&self, us: i64) -> Instant {
        self.begin + Duration::from_micros(us.max(0) as u64)
    }

    pub(super) fn propose(&self, last: Option<&Epoch>, life: &Arc<Life>, why: Why, from: i64, clock_us: i64) -> Epoch {
        let now_us = if self.without == Without::ClusterClock { clock_us } else { clock_us.max(self.now_us) };
        let as_why = if self.without == Without::FloorOfStart && why.is_start() { Why::Next } else { why };
        let mut block = propose(last, as_why, from, LEN, now_us, i64::MIN);
        if self.without == Without::Floor && !why.is_start() {
            block.anchor_us = clock_us;
        }
        Epoch { number: last.map_or(1, |last| last.number + 1), life: life.clone(), why, block }
    }

    /// Reads what there is, up to a few records; its life must be that of the log that is there.
    pub(super) fn read(&mut self, index: usize) {
        for _ in 0..=self.random.below(5) {
            let position = self.processes[index].position;
            let Some(record) = self.log.get(position as usize) else { return };
            let key = record.key(self.processes[index].life.generation);
            let now = if self.without == Without::Young { self.begin } else { self.at(self.now_us) };
            match self.processes[index].window.need(position, None, now) {
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
            let (position, end) = (process.position, process.window.end());
            if process.window.is_almost_used(position) && self.random.one_in(2) && !self.extend(index, end, false) {
                return;
            }
        }
    }

    /// Begins anew where others have changed the list.
    pub(super) fn look(&mut self, index: usize) {
        if self.without != Without::Looking && self.is_outdated(index) {
            self.end(index);
        }
    }

    pub(super) fn is_outdated(&self, index: usize) -> bool {
        let newest_first: Vec<Epoch> = self.epochs.iter().rev().cloned().collect();
        let process = &self.processes[index];
        process.window.last().is_some_and(|last| changed(last, &newest_first, process.position).is_some())
    }

    /// Whether the process goes on.
    pub(super) fn extend(&mut self, index: usize, position: i64, cut: bool) -> bool {
        let process = &self.processes[index];
        let Some(last) = process.window.last().cloned() else { return false };
        let (why, from) = match last.block {
            block if position < block.from => (Why::Next, position),
            block if cut && block.holds(position) => (Why::Cut, position),
            block => (Why::Next, position.max(block.end())),
        };
        let (life, clock_us) = (process.life.clone(), self.now_us - process.behind_us);
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

    pub(super) fn acknowledge(&mut self, index: usize) {
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

    /// Sometimes without looking: it slept between its look and its commit.
    pub(super) fn commit(&mut self, index: usize) {
        let process = &self.processes[index];
        let (epoch, offset) = (process.epoch(), process.durable());
        if self.committed.is_some_and(|seen| seen.by.is_none()) && !self.random.one_in(10) {
            return self.end(index);
        }
        let by = Some(By { generation: process.life.generation, epoch, has_left: false });
        self.committed = Some(Committed { offset, leader: -1, by });
    }

    pub(super) fn put_mark(&mut self, index: usize) {
        let process = &self.processes[index];
        let offset = process.durable();
        let Some(ts) = process.window.mark_us(offset) else { return };
        let mark = Mark { offset, epoch: process.epoch(), leader: -1 };
        if self.mark.is_none_or(|(there, _)| there < ts) {
            self.mark = Some((ts, mark));
        }
    }

    /// What is under way arrives later, or never.
    pub(super) fn end(&mut self, index: usize) {
        let process = self.processes.swap_remove(index);
        self.late.extend(process.open.into_values());
    }
}
