use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use millstream_protocol::Partition;
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};
use tokio::{
    sync::{Mutex, OnceCell, Semaphore, mpsc},
    task::JoinSet,
};

use super::{
    Body, Content, Letter, Letters,
    cut::{Cut, Origin, headers},
};
use crate::{
    engine::{Health, Trouble},
    metrics::Metrics,
    sink::work::Lane,
    source::read_one::{Answer, read_one},
};

/// Largest letter the client passes on; what the topic takes is the broker's to say.
const MESSAGE_BYTES_MAX: &str = "104857600";

/// Never the limit that counts, which is [`ROOM_BYTES`]: the client refuses for ever a message larger than this.
const QUEUE_KBYTES: &str = "524288";

/// Letters on their way, in bytes (invariant 8).
const ROOM_BYTES: usize = 16 << 20;

/// Of it, one letter takes at most this, however large, so that others find room beside it.
const ROOM_LETTER_BYTES_MAX: usize = ROOM_BYTES / 4;

/// Of it, the letters of one partition: those of a partition of the topic without leader leave room for others.
const ROOM_PARTITION_BYTES: usize = 1 << 20;

/// Time for a letter to be acknowledged; then it is sent again, and meanwhile others had its room.
const DELIVERY_TIMEOUT_MS: &str = "20000";

/// A topic that is not there is named as the cause after this time (librdkafka waits for 30 s by default).
const UNKNOWN_TOPIC_MS: &str = "5000";

/// Pause between attempts to deliver a letter.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Letters of one partition being delivered at once.
const AT_ONCE: usize = 128;

/// A record is gone when Kafka said so this often, for more than a minute: right after an election a leader may not know
/// its own log's end, nor a broker its topics.
const GONE_LOOKS: u32 = 60;

/// Delivers letters.
pub struct Writer {
    /// The job's name, for the headers.
    pub job: String,
    /// The topic the records come from.
    pub source_topic: String,
    /// The topic of the letters.
    pub topic: String,
    /// Kafka client settings of the job.
    pub config: ClientConfig,
    /// Settings of a consumer that reads a record again.
    pub read_config: ClientConfig,
    /// Told when letters can't be delivered.
    pub health: Arc<Health>,
    /// Counts what was left out.
    pub metrics: Arc<Metrics>,
}

/// A writer at work.
struct Post {
    writer: Writer,
    together: FutureProducer,
    /// Sends each letter in a request of its own.
    alone: OnceCell<FutureProducer>,
    room: Semaphore,
}

/// What letters of one partition share.
struct Counter {
    /// One batch at a time.
    turn: Mutex<()>,
    room: Semaphore,
}

impl Writer {
    /// Runs until the senders are gone and all letters are delivered.
    pub async fn run(self, mut queue: mpsc::Receiver<Letters>) -> Result<(), String> {
        let together = producer(&self.config, false).map_err(|error| error.to_string())?;
        let post = Post { together, alone: OnceCell::new(), room: Semaphore::new(ROOM_BYTES), writer: self };
        let (post, mut counters, mut tasks) =
            (Arc::new(post), HashMap::<Partition, Arc<Counter>>::new(), JoinSet::new());
        let failed = |error: tokio::task::JoinError| error.to_string();
        loop {
            tokio::select! {
                letters = queue.recv() => {
                    let Some(letters) = letters else { break };
                    let counter = counters.entry(letters.lane.state.partition).or_insert_with(|| {
                        Arc::new(Counter { turn: Mutex::default(), room: Semaphore::new(ROOM_PARTITION_BYTES) })
                    });
                    // Bounded by the memory budget, as the channel's senders are.
                    tasks.spawn(post.clone().deliver_all(letters, counter.clone()));
                }
                Some(done) = tasks.join_next() => done.map_err(failed)?,
            }
        }
        while let Some(done) = tasks.join_next().await {
            done.map_err(failed)?;
        }
        Ok(())
    }
}

impl Post {
    async fn deliver_all(self: Arc<Self>, Letters { lane, letters, hold }: Letters, counter: Arc<Counter>) {
        let _turn = counter.turn.lock().await;
        stream::iter(&letters).for_each_concurrent(AT_ONCE, |letter| self.deliver(&lane, letter, &counter)).await;
        hold.release();
    }

    async fn deliver(&self, lane: &Lane, letter: &Letter, counter: &Counter) {
        // From the beginning: whatever it waits for, the reason is shown.
        self.wait(lane, letter, "not acknowledged yet");
        while AssertUnwindSafe(self.try_deliver(lane, letter, counter)).catch_unwind().await.is_err() {
            self.wait(lane, letter, "delivering it panicked; the executor's log has the place");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        self.writer.health.letters.clear(lane.state.partition, letter.offset);
        lane.state.task.bad_record(true);
    }

    async fn try_deliver(&self, lane: &Lane, letter: &Letter, counter: &Counter) {
        let read;
        let (content, gone) = match &letter.body {
            Body::Here(content) => (&**content, None),
            Body::InKafka => {
                read = self.read(lane, letter).await;
                (&read.0, read.1)
            }
        };
        let writer = &self.writer;
        let origin = Origin { job: &writer.job, topic: &writer.source_topic, partition: lane.state.partition, gone };
        let mut cut = Cut::Together;
        while let Err(error) = self.send(&origin, letter, content, cut, counter).await {
            let is_too_large = error == KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
            match cut.next(content) {
                // The topic takes no message of this size, ever: its place is kept, and a header says so.
                Some(next) if is_too_large => cut = next,
                _ => {
                    let remedy = if is_too_large { "; raise the topic's max.message.bytes" } else { "" };
                    self.wait(lane, letter, &format!("{error}{remedy}"));
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
        self.say_what_is_missing(&origin, letter, cut);
    }

    async fn send(
        &self,
        origin: &Origin<'_>,
        letter: &Letter,
        content: &Content,
        cut: Cut,
        counter: &Counter,
    ) -> Result<(), KafkaError> {
        let permits = |most: usize| content.bytes().clamp(1, most) as u32;
        // In this order: who waits for the partition's room holds none of the common one.
        let _own = counter.room.acquire_many(permits(ROOM_PARTITION_BYTES)).await;
        let _common = self.room.acquire_many(permits(ROOM_LETTER_BYTES_MAX)).await;
        let producer = match cut {
            Cut::Together => &self.together,
            _ => self.alone.get_or_try_init(|| async { producer(&self.writer.config, true) }).await?,
        };
        let record = FutureRecord {
            topic: &self.writer.topic,
            partition: None,
            payload: cut.value(content),
            key: cut.key(content),
            timestamp: None,
            headers: Some(headers(origin, letter, content, cut)),
        };
        producer.send(record, Timeout::After(RETRY_PAUSE)).await.map(|_| ()).map_err(|(error, _)| error)
    }

    /// The record as it is in Kafka, or why it is there no more.
    async fn read(&self, lane: &Lane, letter: &Letter) -> (Content, Option<&'static str>) {
        let mut looks = 0;
        loop {
            let (config, topic) = (self.writer.read_config.clone(), self.writer.source_topic.clone());
            let (partition, offset) = (lane.state.partition, letter.offset);
            let id = lane.state.topic_id();
            let read = tokio::task::spawn_blocking(move || read_one(config, &topic, &id, partition, offset)).await;
            let reason = match read {
                Ok(Ok(Answer::Found(content))) => return (*content, None),
                Ok(Ok(Answer::Gone { why, is_sure })) => {
                    looks += 1;
                    if is_sure || looks >= GONE_LOOKS {
                        return (Content::default(), Some(why));
                    }
                    format!("the record seems to be gone from Kafka: {why}")
                }
                Ok(Err(error)) => format!("the record can't be read again: {error}"),
                Err(panic) => format!("reading the record again failed: {panic}"),
            };
            self.wait(lane, letter, &reason);
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    fn wait(&self, lane: &Lane, letter: &Letter, reason: &str) {
        let reason = format!("dead letter of offset {} to {}: {reason}", letter.offset, self.writer.topic);
        tracing::debug!(partition = lane.state.partition, offset = letter.offset, %reason, "letter waits");
        self.writer.health.letters.set(lane.state.partition, letter.offset, Trouble::stalled(reason));
    }

    fn say_what_is_missing(&self, origin: &Origin<'_>, letter: &Letter, cut: Cut) {
        let gone = origin.gone.map(|_| "record");
        if let Some(left_out) = gone.or(cut.label()) {
            self.writer.metrics.letter_cut(left_out);
            let (partition, offset) = (origin.partition, letter.offset);
            tracing::warn!(partition, offset, left_out, gone = origin.gone, "dead letter is not whole");
        }
    }
}

fn producer(config: &ClientConfig, alone: bool) -> Result<FutureProducer, KafkaError> {
    let mut config = config.clone();
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .set("compression.type", "zstd")
        .set("message.max.bytes", MESSAGE_BYTES_MAX)
        .set("message.timeout.ms", DELIVERY_TIMEOUT_MS)
        .set("topic.metadata.propagation.max.ms", UNKNOWN_TOPIC_MS)
        .set("queue.buffering.max.kbytes", QUEUE_KBYTES);
    if alone {
        config.set("batch.num.messages", "1");
    }
    config.create()
}
