use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use millstream_pipeline::{BadRecord, Cell, Header, Processed, Record, Rows};

use super::{
    Bell, Stage, Stop,
    gather::{Fetched, Gathered, NamedHeader},
    guard::Guarded,
    lane::Lane,
};
use crate::{
    bad_record::BadRecords,
    budget::{Budget, Growth},
    dead_letter::{Body, Letter, Letters},
    metrics::Metrics,
    sink::{
        plan::{Plan, RowFacts, Rules, plan_whatever},
        work::{EncodedBatch, Lane as BatchLane, Origin, Unit, with_tracker},
    },
};

/// Turns gathered records into a batch for the sink.
pub(super) struct Encoder {
    /// Bytes → rows.
    pub(super) processor: Guarded,
    /// What the table says about leaving rows out.
    pub(super) rules: Rules,
    /// NULL leaves a cell as it is: a later row may not stand for an earlier one.
    pub(super) unset_nulls: bool,
    /// What becomes of bad records.
    pub(super) bad_records: Arc<BadRecords>,
    /// Bytes in flight.
    pub(super) budget: Arc<Budget>,
    /// How much larger rows are than their records.
    pub(super) growth: Growth,
    /// Wakes the pump.
    pub(super) bell: Arc<Bell>,
    /// What was done.
    pub(super) metrics: Arc<Metrics>,
}

/// The records of one lane in a batch.
struct Extent {
    /// Index among the pump's lanes.
    lane: usize,
    records: u64,
    bytes: u64,
    oldest_timestamp_ms: Option<i64>,
    newest_timestamp_ms: Option<i64>,
    /// Offset of the first bad record, when the job stops there: nothing from it on is written.
    cut: Option<i64>,
}

impl Encoder {
    /// None when nothing has to be written. `poll` is the time it took to gather the records.
    pub(super) fn encode(
        &mut self,
        gathered: Gathered<'_>,
        lanes: &mut [Lane],
        poll: Duration,
    ) -> Option<Arc<EncodedBatch>> {
        let records = gathered.records.as_slice();
        let named: Vec<Vec<NamedHeader<'_>>> = match self.processor.uses_headers() {
            true => records.iter().map(|(_, fetched)| fetched.headers()).collect(),
            false => vec![],
        };
        let headers: Vec<Vec<Header<'_>>> = named.iter().map(|named| views_of(named)).collect();
        let views: Vec<Record<'_>> = records
            .iter()
            .enumerate()
            .map(|(index, (lane, fetched))| {
                fetched.record(lanes[*lane].state.partition, headers.get(index).map_or(&[], Vec::as_slice))
            })
            .collect();

        let made_max = self.budget.made_bytes() as usize;
        let (processed, count, [decode, sql, encode]) = self.processor.process(&views, made_max);
        let Processed { rows, bad, filtered } = processed;
        let begin = Instant::now();
        let records = self.cut(records, count, lanes);
        let (mut extents, slots) = extents(records, lanes.len());
        self.growth.saw(extents.iter().map(|extent| extent.bytes).sum(), rows.memory_bytes() as u64);
        let letters = self.judge_bad(&bad, records, &mut extents, &slots, lanes);
        let batch = self.assemble(rows, letters, records, &extents, &slots, lanes);
        let times = [
            (Stage::Poll, poll),
            (Stage::Decode, decode),
            (Stage::Sql, sql),
            (Stage::Encode, encode + begin.elapsed()),
        ];

        self.metrics.consumed(records.len(), filtered);
        self.count(&extents, lanes, &times, records.len());
        batch
    }

    /// Most bytes of records in the next batch.
    pub(super) fn batch_bytes(&self) -> u64 {
        self.growth.batch_bytes(self.budget.batch_bytes())
    }

    /// The first `count` records. What comes after them made too much: it is read again, in smaller batches.
    fn cut<'r, 'q>(
        &self,
        records: &'r [(usize, Fetched<'q>)],
        count: usize,
        lanes: &mut [Lane],
    ) -> &'r [(usize, Fetched<'q>)] {
        let (first, others) = records.split_at(count);
        if !others.is_empty() {
            self.metrics.cut();
        }
        for (lane, fetched) in others {
            let lane = &mut lanes[*lane];
            if !lane.stopped {
                lane.stopped = true;
                lane.position = fetched.offset();
                lane.state.request_stop(Stop::anew(format!(
                    "the rows of one batch would take more than {} bytes; going on at offset {} in smaller batches",
                    self.budget.made_bytes(),
                    lane.position
                )));
            }
        }
        first
    }

    /// Counts bad records and copies those that go to the dead-letter topic, per extent.
    fn judge_bad(
        &self,
        bad: &[BadRecord],
        records: &[(usize, Fetched<'_>)],
        extents: &mut [Extent],
        slots: &[usize],
        lanes: &mut [Lane],
    ) -> Vec<Vec<Letter>> {
        let mut letters: Vec<Vec<Letter>> = extents.iter().map(|_| vec![]).collect();
        for BadRecord { index, reason, detail } in bad {
            let (lane, fetched) = &records[*index];
            let extents_slot = slots[*lane];
            let extent = &mut extents[extents_slot];
            if extent.cut.is_some() {
                continue;
            }
            let (offset, lane) = (fetched.offset(), &mut lanes[*lane]);
            self.bad_records.found(&lane.for_batch(), reason.label());
            if self.bad_records.stops() {
                extent.cut = Some(offset);
                lane.stopped = true;
                lane.position = offset;
                with_tracker(&lane.tracker, |tracker| tracker.cap(offset));
                let shown = self.bad_records.shown(detail);
                lane.state.request_stop(Stop::bad_record(offset, reason.label(), &shown));
            } else if self.bad_records.keeps_letters() {
                let body = Body::Here(Box::new(fetched.content()));
                let (reason, detail) = (reason.label().to_owned(), detail.clone());
                letters[extents_slot].push(Letter { offset, body, reason, detail });
            }
        }
        letters
    }

    fn assemble(
        &self,
        rows: Rows,
        letters: Vec<Vec<Letter>>,
        records: &[(usize, Fetched<'_>)],
        extents: &[Extent],
        slots: &[usize],
        lanes: &[Lane],
    ) -> Option<Arc<EncodedBatch>> {
        let mut timestamps_us = Vec::with_capacity(rows.len());
        let mut origins = Vec::with_capacity(rows.len());
        for row in rows.iter() {
            let (lane, fetched) = &records[row.record_index()];
            let offset = fetched.offset();
            let timestamp_us = lanes[*lane].window.timestamp_us(offset);
            timestamps_us.push(timestamp_us.expect("a record is gathered only when a block holds its offset"));
            origins.push(Origin { lane: slots[*lane] as u32, offset });
        }
        let plan = self.plan(&rows, &timestamps_us, &origins, extents);

        let bytes = rows.memory_bytes() + rows.len() * (size_of::<i64>() + size_of::<Origin>());
        let opened = extents.iter().map(|extent| {
            let lane = &lanes[extent.lane];
            let id = with_tracker(&lane.tracker, |tracker| tracker.open(lane.position, extent.oldest_timestamp_ms));
            (lane.tracker.clone(), id)
        });
        let unit = Unit::new(opened.collect(), bytes as u64, self.budget.clone(), self.bell.clone());
        for (slot, letters) in letters.into_iter().enumerate().filter(|(_, letters)| !letters.is_empty()) {
            let hold = unit.hold(slot, letters.iter().map(Letter::bytes).sum::<usize>() as u64);
            self.bad_records.send(Letters { lane: lanes[extents[slot].lane].for_batch(), letters, hold });
        }
        if plan.chunks.is_empty() {
            unit.part_done();
            return None;
        }
        unit.add_parts(plan.chunks.len());
        self.metrics.planned(plan.chunks.len(), plan.superseded.len());
        let lanes: Vec<BatchLane> = extents.iter().map(|extent| lanes[extent.lane].for_batch()).collect();
        Some(Arc::new(EncodedBatch { rows, timestamps_us, origins, lanes, plan, unit }))
    }

    fn plan(&self, rows: &Rows, timestamps_us: &[i64], origins: &[Origin], extents: &[Extent]) -> Plan {
        let is_cut = |origin: &Origin| extents[origin.lane as usize].cut.is_some_and(|cut| origin.offset >= cut);
        let facts: Vec<RowFacts<'_>> = rows
            .iter()
            .enumerate()
            .filter(|(index, _)| !is_cut(&origins[*index]))
            .map(|(index, row)| RowFacts {
                index: index as u32,
                kind: row.kind(),
                partition_key: row.partition_key(),
                primary_key: row.primary_key(),
                ttl_secs: row.ttl_secs(),
                timestamp_us: timestamps_us[index],
                size_bytes: row.size_bytes(),
            })
            .collect();
        let covers = |later: u32, earlier: u32| {
            let cells = |row: u32| rows.row(row as usize).cells();
            !self.unset_nulls || cells(later).zip(cells(earlier)).all(|(l, e)| l != Cell::Unset || e == Cell::Unset)
        };
        plan_whatever(&facts, self.rules, covers)
    }

    fn count(&self, extents: &[Extent], lanes: &[Lane], times: &[(Stage, Duration)], records: usize) {
        for extent in extents {
            let state = &lanes[extent.lane].state;
            state.task.consumed(extent.records, extent.bytes);
            self.metrics.consumed_of(state.partition, extent.records);
            if let Some(tier) = state.consumed(extent.bytes) {
                self.metrics.consumed_from(tier, extent.bytes);
            }
            if let Some(timestamp_ms) = extent.newest_timestamp_ms {
                state.set_last_timestamp_ms(timestamp_ms);
            }
            let share = extent.records as f64 / records as f64;
            for (stage, time) in times {
                state.task.busy(*stage, time.mul_f64(share));
            }
        }
        for (stage, time) in times {
            self.metrics.busy(*stage, *time);
        }
    }
}

/// The lanes of a batch, and for each of the pump's lanes its index among them.
fn extents(records: &[(usize, Fetched<'_>)], lanes: usize) -> (Vec<Extent>, Vec<usize>) {
    let mut slots = vec![usize::MAX; lanes];
    let mut extents: Vec<Extent> = vec![];
    for (lane, fetched) in records {
        if slots[*lane] == usize::MAX {
            slots[*lane] = extents.len();
            extents.push(Extent {
                lane: *lane,
                records: 0,
                bytes: 0,
                oldest_timestamp_ms: fetched.timestamp_ms(),
                newest_timestamp_ms: None,
                cut: None,
            });
        }
        let extent = &mut extents[slots[*lane]];
        extent.records += 1;
        extent.bytes += fetched.bytes();
        extent.newest_timestamp_ms = fetched.timestamp_ms();
    }
    (extents, slots)
}

fn views_of<'a>(named: &'a [NamedHeader<'_>]) -> Vec<Header<'a>> {
    named.iter().map(|(name, value)| Header { name, value: *value }).collect()
}
