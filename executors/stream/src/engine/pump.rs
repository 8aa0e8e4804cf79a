//! The pump: one thread that takes records from Kafka, turns them into rows and hands them to the sink. It never
//! blocks on anything but its own bell.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use millstream_protocol::Partition;
use millstream_topology::kafka::set_leader_epoch;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer as _, base_consumer::PartitionQueue},
};
use tokio::sync::{mpsc, oneshot};

use super::{Bell, PartitionState, Stop, encode::Encoder, gather::gather, lane::Lane};
use crate::{
    blocks::{Epoch, Speed, window::Window},
    budget::Budget,
    metrics::Metrics,
    sink::work::{EncodedBatch, SharedTracker},
    source::{
        SourceConsumer,
        context::{Partitions, SourceContext},
    },
};

/// Longest sleep: how often librdkafka's events are served when nothing rings.
const IDLE: Duration = Duration::from_millis(50);

/// How soon a full sink is tried again.
const SINK_FULL: Duration = Duration::from_millis(5);

/// How often rates are measured.
const MEASURE: Duration = Duration::from_secs(1);

/// What the pump is told.
enum Order {
    Add(Box<Lane>),
    Remove(Partition, oneshot::Sender<()>),
    Epochs(SharedTracker, Vec<Epoch>, Instant),
    Quit,
}

/// A lane that needs its next block.
pub(super) struct ExtendRequest {
    /// Its partition.
    pub(super) state: Arc<PartitionState>,
    /// Says which start of the partition is meant.
    pub(super) tracker: SharedTracker,
    /// Its newest epoch.
    pub(super) last: Epoch,
    /// The offset that needs a block.
    pub(super) position: i64,
    /// How fast it is.
    pub(super) speed: Speed,
    /// The newest block holds the offset, but is old.
    pub(super) cut: bool,
}

/// Where a partition is consumed from.
pub(super) struct Begin {
    /// First offset.
    pub(super) position: i64,
    /// Leader epoch of the log there, to be validated by the broker; negative while unknown.
    pub(super) leader: i32,
    /// Blocks from there on.
    pub(super) window: Window,
}

/// Tells the pump what to do.
pub(super) struct PumpHandle {
    orders: Arc<Mutex<VecDeque<Order>>>,
    bell: Arc<Bell>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl PumpHandle {
    /// Consumes a partition.
    pub(super) fn add(&self, state: Arc<PartitionState>, tracker: SharedTracker, begin: Begin) {
        self.order(Order::Add(Box::new(Lane::new(state, tracker, begin))));
    }

    /// Stops consuming a partition. When this returns, no more of its records become rows.
    pub(super) async fn remove(&self, partition: Partition) {
        let (done, removed) = oneshot::channel();
        self.order(Order::Remove(partition, done));
        // A pump that has ended consumes nothing either.
        let _ = removed.await;
    }

    /// The answer to an [`ExtendRequest`].
    pub(super) fn epochs(&self, tracker: SharedTracker, epochs: Vec<Epoch>, young_until: Instant) {
        self.order(Order::Epochs(tracker, epochs, young_until));
    }

    /// Ends the thread.
    pub(super) fn quit(&self) {
        self.order(Order::Quit);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("pump panicked");
        }
    }

    /// At most a few per partition: no limit is needed.
    fn order(&self, order: Order) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push_back(order);
        self.bell.ring();
    }
}

/// The pump's surroundings.
pub(super) struct Pump {
    /// The consumer.
    pub(super) consumer: Arc<SourceConsumer>,
    /// Its context tells these about themselves.
    pub(super) partitions: Partitions,
    /// The job's topic.
    pub(super) topic: String,
    /// Records → rows.
    pub(super) encoder: Encoder,
    /// Where the thread may spawn tasks.
    pub(super) runtime: tokio::runtime::Handle,
    /// To the sink.
    pub(super) batches: mpsc::Sender<Arc<EncodedBatch>>,
    /// To the keeper of blocks.
    pub(super) requests: mpsc::Sender<ExtendRequest>,
    /// Bytes in flight.
    pub(super) budget: Arc<Budget>,
    /// Wakes it.
    pub(super) bell: Arc<Bell>,
    /// What it did.
    pub(super) metrics: Arc<Metrics>,
}

impl Pump {
    /// Starts the thread; `fail` is told when it panics, for then nothing is read any more.
    pub(super) fn start(self, fail: impl FnOnce(String) + Send + 'static) -> std::io::Result<PumpHandle> {
        let (orders, bell) = (Arc::<Mutex<VecDeque<Order>>>::default(), self.bell.clone());
        let thread = std::thread::Builder::new().name("pump".into()).spawn({
            let orders = orders.clone();
            move || {
                // What the pump leaves behind is not used again: the process ends.
                let run = AssertUnwindSafe(|| self.run(&orders));
                if catch_unwind(run).is_err() {
                    fail("the pump panicked; its log has the place".to_owned());
                }
            }
        })?;
        Ok(PumpHandle { orders, bell, thread: Mutex::new(Some(thread)) })
    }

    fn run(mut self, orders: &Mutex<VecDeque<Order>>) {
        let runtime = self.runtime.clone();
        let _in_runtime = runtime.enter();
        let (mut queues, mut lanes) = (vec![], vec![]);
        let mut waiting: Option<Arc<EncodedBatch>> = None;
        let (mut last_batch, mut measured) = (Instant::now(), Instant::now());
        loop {
            let taken = std::mem::take(&mut *orders.lock().unwrap_or_else(PoisonError::into_inner));
            for order in taken {
                if !self.follow(order, &mut lanes, &mut queues) {
                    return;
                }
            }
            self.serve_events(&mut lanes);
            if measured.elapsed() >= MEASURE {
                measured = Instant::now();
                lanes.iter_mut().for_each(|lane: &mut Lane| lane.measure(measured));
            }
            self.request_blocks(&mut lanes);

            if let Some(batch) = waiting.take() {
                waiting = self.hand_over(batch);
            }
            let is_paused = waiting.is_some() || self.budget.is_paused();
            self.metrics.pump(self.budget.used(), is_paused);
            if is_paused {
                let begin = Instant::now();
                self.bell.wait(SINK_FULL);
                self.metrics.blocked(begin.elapsed());
                continue;
            }
            let begin = Instant::now();
            let gathered = gather(&queues, &mut lanes, self.encoder.batch_bytes(), last_batch, &self.bell);
            if gathered.records.is_empty() {
                self.bell.wait(IDLE);
                continue;
            }
            let poll = begin.elapsed().saturating_sub(gathered.waited);
            waiting = self.encoder.encode(gathered, &mut lanes, poll);
            last_batch = Instant::now();
        }
    }

    /// Gives the batch back when the sink is full.
    fn hand_over(&self, batch: Arc<EncodedBatch>) -> Option<Arc<EncodedBatch>> {
        match self.batches.try_send(batch) {
            Ok(()) => None,
            Err(mpsc::error::TrySendError::Full(batch)) => Some(batch),
            // The sink has ended for good, and the executor with it.
            Err(mpsc::error::TrySendError::Closed(_)) => None,
        }
    }

    /// Statistics, commits, errors. Records come only from the partitions' own queues.
    fn serve_events(&self, lanes: &mut [Lane]) {
        while let Some(event) = self.consumer.poll(Duration::ZERO) {
            if let Err(error) = event {
                tracing::warn!(%error, "kafka consumer");
            }
        }
        lanes.iter_mut().for_each(Lane::note_eof);
    }

    fn request_blocks(&self, lanes: &mut [Lane]) {
        let now = Instant::now();
        for lane in lanes.iter_mut().filter(|lane| !lane.stopped && !lane.extending) {
            let Some((position, cut)) = lane.wants(now) else { continue };
            lane.window.prune(lane.position);
            let Some(last) = lane.window.last().cloned() else { continue };
            let request = ExtendRequest {
                state: lane.state.clone(),
                tracker: lane.tracker.clone(),
                last,
                position,
                speed: lane.speed(position),
                cut,
            };
            lane.extending = self.requests.try_send(request).is_ok();
        }
    }

    /// False for the last order.
    fn follow(&self, order: Order, lanes: &mut Vec<Lane>, queues: &mut Vec<PartitionQueue<SourceContext>>) -> bool {
        match order {
            Order::Add(lane) => match self.assign(&lane) {
                Ok(queue) => {
                    self.known_partitions().insert(lane.state.partition, lane.state.clone());
                    queues.push(queue);
                    lanes.push(*lane);
                }
                Err(reason) => lane.state.request_stop(Stop::other(reason)),
            },
            Order::Remove(partition, done) => {
                if let Some(index) = lanes.iter().position(|lane| lane.state.partition == partition) {
                    lanes.swap_remove(index);
                    self.known_partitions().remove(&partition);
                    self.unassign(partition);
                    queues.swap_remove(index);
                }
                let _ = done.send(());
            }
            Order::Epochs(tracker, epochs, young_until) => {
                if let Some(lane) = lanes.iter_mut().find(|lane| Arc::ptr_eq(&lane.tracker, &tracker)) {
                    lane.take_epochs(epochs, young_until);
                }
            }
            Order::Quit => return false,
        }
        true
    }

    fn assign(&self, lane: &Lane) -> Result<PartitionQueue<SourceContext>, String> {
        let partition = lane.state.partition;
        // Before it is assigned, so that no record ever goes through the consumer's own queue.
        let mut queue = self
            .consumer
            .split_partition_queue(&self.topic, partition)
            .ok_or_else(|| format!("partition {partition} has no queue"))?;
        let bell = self.bell.clone();
        queue.set_nonempty_callback(move || bell.ring());
        self.list(partition, Some(lane.position))
            .and_then(|mut list| {
                if lane.leader >= 0 {
                    set_leader_epoch(&mut list, &self.topic, partition, lane.leader);
                }
                self.consumer.incremental_assign(&list)
            })
            .map_err(|error| format!("Kafka refused the assignment: {error}"))?;
        Ok(queue)
    }

    fn unassign(&self, partition: Partition) {
        let result = self.list(partition, None).and_then(|list| self.consumer.incremental_unassign(&list));
        if let Err(error) = result {
            tracing::warn!(partition, %error, "partition could not be given back");
        }
    }

    fn list(&self, partition: Partition, position: Option<i64>) -> rdkafka::error::KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&self.topic, partition, position.map_or(Offset::Invalid, Offset::Offset))?;
        Ok(list)
    }

    fn known_partitions(&self) -> std::sync::MutexGuard<'_, std::collections::HashMap<Partition, Arc<PartitionState>>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
