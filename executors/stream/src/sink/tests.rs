//! The loop against a fake table: every row is acknowledged, whatever fails in between, and only then is it durable.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use millstream_pipeline::{ColumnKind, CqlType, Processor, Record, TableColumn, TableSchema, Transform, bind};
use millstream_spec::{BadRecord as Policy, Errors, SourceColumn, SourceType};

use super::{
    plan::{RowFacts, Rules, plan},
    target::{Target, Verdict},
    work::{Lane, Origin, SharedTracker, Unit, with_tracker},
    *,
};
use crate::{
    budget::Budget,
    engine::{Bell, PartitionState},
    tracker::Tracker,
};

type Answer = dyn Fn(&[&str], u32) -> Option<Fault> + Send + Sync;

/// A table whose answers a test makes: (key, attempts so far on it) → fault.
struct Fake {
    answer: Box<Answer>,
    verdict: Mutex<Vec<Verdict>>,
    attempts: Mutex<HashMap<Vec<String>, u32>>,
    /// Key → (timestamp, value) of the newest write, as Cassandra keeps it.
    rows: Mutex<BTreeMap<String, (i64, i32)>>,
}

impl Fake {
    fn new(answer: impl Fn(&[&str], u32) -> Option<Fault> + Send + Sync + 'static) -> Arc<Self> {
        let (verdict, attempts, rows) = (Mutex::new(vec![]), Mutex::default(), Mutex::default());
        Arc::new(Fake { answer: Box::new(answer), verdict, attempts, rows })
    }
}

impl Target for Fake {
    async fn write(&self, work: &Work) -> Result<(), Fault> {
        let batch = &work.batch;
        let rows: Vec<_> =
            work.rows().iter().map(|row| (batch.rows.row(*row as usize), batch.timestamps_us[*row as usize])).collect();
        let cells = |row: &millstream_pipeline::Row<'_>| -> Vec<Vec<u8>> {
            let value = |cell| match cell {
                millstream_pipeline::Cell::Value(bytes) => <[u8]>::to_vec(bytes),
                _ => vec![],
            };
            row.cells().map(value).collect()
        };
        let keys: Vec<String> = rows.iter().map(|(row, _)| String::from_utf8(cells(row)[0].clone()).unwrap()).collect();
        let attempt = {
            let mut attempts = self.attempts.lock().unwrap();
            let attempt = attempts.entry(keys.clone()).or_default();
            *attempt += 1;
            *attempt - 1
        };
        if let Some(fault) = (self.answer)(&keys.iter().map(String::as_str).collect::<Vec<_>>(), attempt) {
            return Err(fault);
        }
        let mut stored = self.rows.lock().unwrap();
        for ((row, timestamp_us), key) in rows.iter().zip(keys) {
            let value = i32::from_be_bytes(cells(row)[1].as_slice().try_into().unwrap());
            let slot = stored.entry(key).or_insert((i64::MIN, 0));
            *slot = (*slot).max((*timestamp_us, value));
        }
        Ok(())
    }

    async fn check_schema(&self) -> Verdict {
        let mut verdicts = self.verdict.lock().unwrap();
        if verdicts.len() > 1 { verdicts.remove(0) } else { verdicts.first().cloned().unwrap_or(Verdict::Same) }
    }
}

struct World {
    lane: Lane,
    budget: Arc<Budget>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    letters: mpsc::Receiver<crate::dead_letter::Letters>,
    bad_records: Arc<BadRecords>,
}

impl World {
    fn new(policy: Policy) -> World {
        let state = PartitionState::new(0, Arc::default());
        let tracker: SharedTracker = Arc::new(Mutex::new(Tracker::new(0)));
        let metrics = Arc::new(Metrics::new("j", "t"));
        let (sender, letters) = mpsc::channel(8);
        let bad_records =
            Arc::new(BadRecords::new(&Errors { bad_record: policy, show_values: false }, sender, metrics.clone()));
        let (budget, health) = (Arc::default(), Arc::default());
        World { lane: Lane { state, tracker }, budget, health, metrics, letters, bad_records }
    }

    /// A batch of records (offset = index) of rows `(key, value)`; all keys are in one Cassandra partition or none are.
    fn batch(&self, records: &[(&str, i32)], one_partition: bool) -> Arc<EncodedBatch> {
        let column = |name: &str, data_type| SourceColumn {
            name: name.into(),
            data_type,
            path: vec![name.into()],
            required: false,
            precision: Default::default(),
        };
        let columns = [column("k", SourceType::Text), column("v", SourceType::Int)];
        let transform = Transform::compile(&columns, "SELECT k, v FROM input").unwrap();
        let table_column = |name: &str, ty: &str, kind| TableColumn {
            name: name.into(),
            ty: CqlType::parse(ty, &Default::default()).unwrap(),
            kind,
        };
        let table = TableSchema {
            keyspace: "ks".into(),
            table: "t".into(),
            columns: vec![
                table_column("k", "text", ColumnKind::PartitionKey(0)),
                table_column("v", "int", ColumnKind::Regular),
            ],
            is_view: false,
            cdc: false,
        };
        let binding = bind(&transform, &sink(), &table).unwrap();
        let values: Vec<String> = records.iter().map(|(k, v)| format!(r#"{{"k":"{k}","v":{v}}}"#)).collect();
        let input: Vec<Record<'_>> = values
            .iter()
            .enumerate()
            .map(|(offset, value)| Record {
                partition: 0,
                offset: offset as i64,
                timestamp_ms: None,
                key: None,
                value: Some(value.as_bytes()),
                headers: &[],
            })
            .collect();
        let rows = Processor::new("t", transform, binding, &columns).process(&input).rows;
        assert_eq!(rows.len(), records.len());
        let facts: Vec<_> = rows
            .iter()
            .enumerate()
            .map(|(index, row)| RowFacts {
                index: index as u32,
                kind: row.kind(),
                partition_key: if one_partition { b"p" } else { row.partition_key() },
                primary_key: row.primary_key(),
                ttl_secs: None,
                timestamp_us: index as i64,
                size_bytes: row.size_bytes(),
            })
            .collect();
        let plan = plan(&facts, Rules { single_row_partitions: !one_partition, has_static: false }, |_, _| true);
        let id = with_tracker(&self.lane.tracker, |t| t.open(t.position() + records.len() as i64, None));
        let unit = Unit::new(vec![(self.lane.tracker.clone(), id)], 100, self.budget.clone(), Arc::<Bell>::default());
        unit.add_parts(plan.chunks.len());
        let timestamps_us = (0..records.len() as i64).collect();
        let origins = (0..records.len() as i64).map(|offset| Origin { lane: 0, offset }).collect();
        Arc::new(EncodedBatch { rows, timestamps_us, origins, lanes: vec![self.lane.clone()], plan, unit })
    }

    async fn run(&self, target: Arc<Fake>, batches: Vec<Arc<EncodedBatch>>) {
        let pause = Duration::from_millis(1);
        let sink = Sink::new(target, self.bad_records.clone(), self.health.clone(), self.metrics.clone())
            .with_pauses(queue::Pauses { first: pause, longest: pause, schema: pause });
        let (sender, receiver) = mpsc::channel(batches.len());
        for batch in batches {
            sender.try_send(batch).unwrap();
        }
        drop(sender);
        sink.run(receiver).await;
    }

    fn durable(&self) -> i64 {
        with_tracker(&self.lane.tracker, |t| t.durable())
    }
}

fn sink() -> millstream_spec::CassandraSink {
    serde_json::from_value(serde_json::json!({ "contact_points": [], "keyspace": "ks", "table": "t" })).unwrap()
}

fn later() -> Option<Fault> {
    Some(Fault::Later { label: "write_timeout", detail: "timed out".into() })
}

fn refused() -> Option<Fault> {
    Some(Fault::Refused { detail: "Key may not be empty".into() })
}

#[tokio::test]
async fn every_row_is_written_whatever_times_out() {
    let world = World::new(Policy::Fail);
    let records: Vec<(String, i32)> = (0..300).map(|i| (format!("k{}", i % 100), i)).collect();
    let records: Vec<(&str, i32)> = records.iter().map(|(k, v)| (k.as_str(), *v)).collect();
    let target =
        Fake::new(|keys, attempt| if keys.len() % 3 == 1 || attempt < 2 { (attempt < 4).then(later)? } else { None });
    let batches = vec![world.batch(&records, true), world.batch(&records, false)];
    world.run(target.clone(), batches).await;
    let rows = target.rows.lock().unwrap();
    assert_eq!(rows.len(), 100);
    assert!(rows.iter().all(|(key, (_, value))| *key == format!("k{}", value - 200)));
    assert_eq!((world.durable(), world.budget.used()), (600, 0));
}

#[tokio::test]
async fn nothing_is_durable_while_a_request_fails() {
    let world = World::new(Policy::Fail);
    let batch = world.batch(&[("a", 1), ("b", 2)], false);
    let target = Fake::new(|keys, _| if keys == ["b"] { later() } else { None });
    let run = world.run(target.clone(), vec![batch]);
    assert!(tokio::time::timeout(Duration::from_millis(2_200), run).await.is_err());
    assert_eq!(world.durable(), 0);
    assert_eq!(target.rows.lock().unwrap().len(), 1);
    assert_eq!(world.health.shown().map(|t| t.status), Some(millstream_protocol::PartitionStatus::Stalled));
}

#[tokio::test]
async fn a_refused_row_is_found_and_skipped_and_the_row_it_stood_for_is_written() {
    let world = World::new(Policy::Skip);
    // The third record overwrites the first, and is refused.
    let batch = world.batch(&[("bad", 1), ("a", 2), ("bad", 3), ("b", 4)], true);
    assert_eq!(batch.plan.superseded, [0]);
    let first = Arc::new(Mutex::new(0));
    let target = Fake::new(move |keys, _| {
        let refuse = keys.contains(&"bad");
        // Alone, the key is refused twice (for the third record), then taken (the first record).
        let mut alone = first.lock().unwrap();
        *alone += u32::from(keys == ["bad"]);
        if refuse && *alone < 3 { refused() } else { None }
    });
    world.run(target.clone(), vec![batch]).await;
    let rows = target.rows.lock().unwrap();
    assert_eq!(rows.get("bad"), Some(&(0, 1)));
    assert_eq!((rows.len(), world.durable()), (3, 4));
    assert_eq!(world.lane.state.task.report("").bad_records.skipped, 1);
}

#[tokio::test]
async fn a_refused_row_stops_its_partition_before_it() {
    let world = World::new(Policy::Fail);
    let batch = world.batch(&[("a", 1), ("bad", 2), ("c", 3)], true);
    let target = Fake::new(|keys, _| if keys.contains(&"bad") { refused() } else { None });
    world.run(target, vec![batch]).await;
    assert_eq!(world.durable(), 1);
    let stop = world.lane.state.take_stop().unwrap();
    assert!(stop.again == crate::engine::Again::Moved(1) && stop.reason.contains("offset 1"), "{stop:?}");
}

/// Who passes over the record that is named must not pass over one before it.
#[tokio::test]
async fn of_refusals_in_any_order_the_lowest_is_named() {
    let world = World::new(Policy::Fail);
    let batch = world.batch(&[("a", 1), ("bad", 2), ("c", 3), ("worse", 4)], false);
    let target = Fake::new(|keys, attempt| match keys {
        ["worse"] => refused(),
        ["bad"] if attempt < 6 => Some(Fault::Later { label: "unavailable", detail: "away".into() }),
        ["bad"] => refused(),
        _ => None,
    });
    world.run(target, vec![batch]).await;
    assert_eq!((world.durable(), world.lane.state.take_stop().unwrap().again), (1, crate::engine::Again::Moved(1)));
}

#[tokio::test]
async fn a_panic_at_row_after_row_is_no_rows_fault() {
    let world = World::new(Policy::Skip);
    let records: Vec<(String, i32)> = (0..50).map(|i| (format!("k{i}"), i)).collect();
    let records: Vec<(&str, i32)> = records.iter().map(|(k, v)| (k.as_str(), *v)).collect();
    let target = Fake::new(|_, _| panic!("thrown by a test"));
    let run = tokio::time::timeout(Duration::from_millis(300), world.run(target, vec![world.batch(&records, true)]));
    assert!(run.await.is_err(), "it waits");
    assert!(world.health.shown().is_some_and(|trouble| trouble.reason.contains("panic")));
    assert_eq!(world.lane.state.task.report("").bad_records.skipped, u64::from(fault::ALIKE_MAX));
}

/// A guardrail, a threshold on timestamps, a node that lags behind: good rows are refused, and none is given up.
#[tokio::test]
async fn what_would_be_said_of_other_rows_is_no_record_s_fault() {
    let world = World::new(Policy::Skip);
    let batch = world.batch(&[("a", 1), ("b", 2), ("c", 3)], true);
    let words = "Provided values [ONE] are not allowed for write consistency levels";
    let target = Fake::new(move |_, attempt| (attempt < 4).then(|| Fault::Refused { detail: words.into() }));
    world.run(target.clone(), vec![batch]).await;
    assert_eq!((target.rows.lock().unwrap().len(), world.durable()), (3, 3));
    assert_eq!(world.lane.state.task.report("").bad_records.skipped, 0);
    assert_eq!(world.health.shown(), None, "it is over");
}

#[tokio::test]
async fn a_letter_holds_its_unit() {
    let mut world = World::new(Policy::DeadLetter("dead".into()));
    let batch = world.batch(&[("bad", 1), ("b", 2)], false);
    let target = Fake::new(|keys, _| if keys == ["bad"] { refused() } else { None });
    world.run(target, vec![batch]).await;
    assert_eq!(world.durable(), 0);
    let letters = world.letters.try_recv().unwrap();
    assert_eq!((letters.letters.len(), letters.letters[0].offset), (1, 0));
    letters.hold.release();
    assert_eq!(world.durable(), 2);
}

#[tokio::test]
async fn a_table_that_does_not_fit_is_waited_for() {
    let world = World::new(Policy::Skip);
    let batch = world.batch(&[("a", 1)], false);
    let target = Fake::new(|_, attempt| if attempt < 3 { refused() } else { None });
    *target.verdict.lock().unwrap() =
        vec![Verdict::Unfit("column v is gone".into()), Verdict::Unknown("away".into()), Verdict::Renewed];
    world.run(target.clone(), vec![batch]).await;
    assert_eq!((target.rows.lock().unwrap().len(), world.durable()), (1, 1));
    assert_eq!(world.lane.state.task.report("").bad_records.skipped, 0);
}

#[tokio::test]
async fn another_table_waits_for_the_new_start() {
    let world = World::new(Policy::Skip);
    let batch = world.batch(&[("a", 1)], false);
    let target = Fake::new(|_, _| refused());
    *target.verdict.lock().unwrap() = vec![Verdict::Changed("v is text now".into())];
    let run = tokio::time::timeout(Duration::from_millis(100), world.run(target, vec![batch]));
    assert!(run.await.is_err(), "it waits");
    assert_eq!((world.durable(), world.health.sink.is_clear()), (0, false));
    assert_eq!(world.lane.state.task.report("").bad_records.skipped, 0);
}

#[tokio::test]
async fn a_row_that_panics_is_bad_and_the_others_are_not() {
    let world = World::new(Policy::Skip);
    let records: Vec<(String, i32)> = (0..9).map(|i| (format!("k{i}"), i)).collect();
    let records: Vec<(&str, i32)> = records.iter().map(|(k, v)| (k.as_str(), *v)).collect();
    let target = Fake::new(|keys, _| match keys.contains(&"k4") {
        true => panic!("thrown by a test"),
        false => None,
    });
    world.run(target.clone(), vec![world.batch(&records, true)]).await;
    assert_eq!((target.rows.lock().unwrap().len(), world.durable()), (8, 9));
    assert_eq!(world.lane.state.task.report("").bad_records.skipped, 1);
}

#[tokio::test]
async fn a_limit_that_refuses_row_after_row_is_no_rows_fault() {
    let world = World::new(Policy::Skip);
    let records: Vec<(String, i32)> = (0..50).map(|i| (format!("k{i}"), i)).collect();
    let records: Vec<(&str, i32)> = records.iter().map(|(k, v)| (k.as_str(), *v)).collect();
    let is_raised = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let target = Fake::new({
        let is_raised = is_raised.clone();
        move |_, _| {
            let detail = "Value of column 'v' has size 4B, this exceeds the failure threshold of 3B.".into();
            (!is_raised.load(std::sync::atomic::Ordering::Relaxed)).then_some(Fault::Refused { detail })
        }
    });
    let batch = world.batch(&records, false);
    let run = world.run(target.clone(), vec![batch]);
    let raise = async {
        while world.health.refusals.is_clear() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        is_raised.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    tokio::join!(run, raise);
    let skipped = world.lane.state.task.report("").bad_records.skipped as usize;
    assert!(skipped <= fault::ALIKE_MAX as usize, "{skipped}");
    assert_eq!((target.rows.lock().unwrap().len() + skipped, world.durable()), (50, 50));
}

#[test]
fn what_holds_one_partition_holds_no_other() {
    let budget = Arc::<Budget>::default();
    let trackers: Vec<SharedTracker> = (0..2).map(|_| Arc::new(Mutex::new(Tracker::new(0)))).collect();
    let extents =
        trackers.iter().map(|tracker| (tracker.clone(), with_tracker(tracker, |t| t.open(5, None)))).collect();
    let unit = Unit::new(extents, 100, budget.clone(), Arc::<Bell>::default());
    let hold = unit.hold(0, 7);
    let durable = || trackers.iter().map(|tracker| with_tracker(tracker, |t| t.durable())).collect::<Vec<_>>();
    assert_eq!((durable(), budget.used()), (vec![0, 0], 107));
    unit.part_done();
    assert_eq!((durable(), budget.used()), (vec![0, 5], 7));
    hold.release();
    assert_eq!((durable(), budget.used()), (vec![5, 5], 0));
}
