use std::collections::BTreeMap;

use millstream_protocol::{BadRecordCounts, PartitionReport, PartitionStatus, Report, TaskReport, VERSION};
use millstream_spec::Tier;

use crate::{
    event::{Event, FromExecutor, Write},
    world::World,
};

/// Records of one batch.
const BATCH: i64 = 24;

/// Batches of a partition that may be under way.
const UNDER_WAY_MAX: usize = 4;

/// How far a task is in a partition.
#[derive(Default)]
pub(crate) struct Cursor {
    /// None before the first read.
    position: Option<i64>,
    /// Batches that are not durable, by their first offset.
    under_way: BTreeMap<i64, ()>,
    committed: Option<i64>,
    stopped: bool,
}

impl Cursor {
    /// Lowest offset that is not durable.
    fn durable(&self) -> Option<i64> {
        self.under_way.keys().next().copied().or(self.position)
    }
}

impl World {
    pub(super) fn consume(&mut self, at: usize) {
        let Some(job) = self.executors[at].job else { return };
        let generation = self.executors[at].generation;
        let ids: Vec<String> = self.executors[at].tasks.keys().cloned().collect();
        for id in ids {
            let Some(mut task) = self.executors[at].tasks.remove(&id) else { continue };
            for (partition, cursor) in &mut task.partitions {
                if !task.draining {
                    task.records += self.read(at, job, &id, *partition, cursor) as u64;
                }
                if let Some(durable) = cursor.durable().filter(|durable| cursor.committed != Some(*durable)) {
                    cursor.committed = Some(durable);
                    let result = self.data[job][*partition as usize].commit(generation, durable);
                    self.hold(result);
                }
            }
            let drained = task.draining && task.partitions.values().all(|cursor| cursor.under_way.is_empty());
            self.executors[at].tasks.insert(id.clone(), task);
            if drained {
                self.task_drained(at, &id);
            }
        }
    }

    /// Reads a batch and sends it off. Returns its records.
    fn read(&mut self, at: usize, job: usize, task: &str, number: i32, cursor: &mut Cursor) -> usize {
        let (now, generation) = (self.now, self.executors[at].generation);
        let Some(partition) = self.data[job].get_mut(number as usize) else { return 0 };
        let from = *cursor.position.get_or_insert(partition.start(generation));
        if cursor.under_way.len() >= UNDER_WAY_MAX || cursor.stopped {
            return 0;
        }
        let mut rows = vec![];
        for offset in from..partition.log_end(now).min(from + BATCH) {
            match partition.stamp(generation, offset, now) {
                Some(stamp) => rows.push((offset, stamp)),
                None => {
                    cursor.stopped = true;
                    break;
                }
            }
        }
        let count = rows.len();
        if count > 0 {
            cursor.position = Some(from + count as i64);
            cursor.under_way.insert(from, ());
            let write = Write { task: task.to_owned(), job, generation, partition: number, rows };
            let ms = self.write_takes();
            self.after(ms, Event::Lands { executor: at, write });
        }
        count
    }

    pub(super) fn lands(&mut self, at: usize, write: Write) {
        if let Some(until) = self.executors[at].paused_until
            && self.rng.chance(500)
        {
            // It was still in the writer's own buffer.
            let ms = self.rng.between(1, 200);
            return self.queue.push(until + ms, Event::Lands { executor: at, write });
        }
        let partition = &mut self.data[write.job][write.partition as usize];
        let mut result = Ok(());
        for (offset, stamp) in &write.rows {
            result = result.and(partition.apply(write.generation, *offset, *stamp));
        }
        self.hold(result);
        let task = self.executors[at].tasks.get_mut(&write.task);
        let cursor = task.and_then(|task| task.partitions.get_mut(&write.partition));
        if let (Some(cursor), Some((first, _))) = (cursor, write.rows.first()) {
            cursor.under_way.remove(first);
        }
    }

    pub(super) fn report(&mut self, at: usize) {
        let Some(job) = self.executors[at].job else { return };
        let now = self.now;
        let data = &self.data[job];
        let executor = &mut self.executors[at];
        let tasks = executor.tasks.iter().map(|(id, task)| {
            let partitions = task.partitions.iter().map(|(partition, cursor)| PartitionReport {
                partition: *partition,
                position: cursor.position,
                durable: cursor.durable(),
                log_end: data.get(*partition as usize).map(|partition| partition.log_end(now)),
                stable_end: None,
                lag_ms: Some(0),
                status: match cursor {
                    Cursor { stopped: true, .. } => PartitionStatus::Stopped,
                    Cursor { position: None, .. } => PartitionStatus::Starting,
                    _ if task.draining => PartitionStatus::Draining,
                    _ => PartitionStatus::Running,
                },
                reason: None,
                stopped_at: None,
            });
            TaskReport {
                task_id: id.clone(),
                partitions: partitions.collect(),
                records: task.records,
                rows: task.records,
                bytes_in: task.records * 100,
                bytes_in_by_tier: vec![(Tier::Host, task.records * 100)],
                bytes_out: task.records * 50,
                bad_records: BadRecordCounts::default(),
                stage_busy_secs: vec![],
            }
        });
        let report = Report {
            version: VERSION,
            sequence: executor.sequence,
            metrics_url: format!("http://127.0.1.{}:9000", executor.machine),
            tasks: tasks.collect(),
        };
        executor.sequence += 1;
        match serde_json::to_vec(&report) {
            Ok(data) => self.tell_own_agent(at, FromExecutor::Message(data)),
            Err(error) => self.violation(format!("a report cannot be written: {error}")),
        }
    }
}
