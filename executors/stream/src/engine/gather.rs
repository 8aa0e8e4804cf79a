use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use millstream_pipeline::{Header, Record};
use millstream_topology::kafka::{leader_epoch, raw_headers};
use rdkafka::{
    Message,
    consumer::base_consumer::PartitionQueue,
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedHeaders, BorrowedMessage, OwnedHeaders, OwnedMessage},
};

use super::{Again, Bell, Stop, lane::Lane};
use crate::{blocks::window::Need, dead_letter::Content, source::context::SourceContext};

/// Most records in one batch: enough for rows to find others of their Cassandra partition, and small against the
/// budget.
pub(super) const BATCH_RECORDS_MAX: usize = 16_384;

/// Records one partition may give before the next one's turn.
const TURN_RECORDS: usize = 1_024;

/// A batch of at least this many records need not wait for more.
const ENOUGH_RECORDS: usize = 4_096;

/// A smaller one waits for more until this long after the one before: a batch has a fixed cost.
const BATCH_INTERVAL: Duration = Duration::from_millis(20);

/// A record in its fetch buffer, or one that had to be put aside.
pub(super) enum Fetched<'q> {
    InBuffer(BorrowedMessage<'q>),
    Held(OwnedMessage),
}

/// Name and value of a header.
pub(super) type NamedHeader<'a> = (Cow<'a, str>, Option<&'a [u8]>);

impl Fetched<'_> {
    pub(super) fn offset(&self) -> i64 {
        match self {
            Fetched::InBuffer(message) => message.offset(),
            Fetched::Held(message) => message.offset(),
        }
    }

    pub(super) fn timestamp_ms(&self) -> Option<i64> {
        match self {
            Fetched::InBuffer(message) => message.timestamp().to_millis(),
            Fetched::Held(message) => message.timestamp().to_millis(),
        }
    }

    /// Key and value.
    pub(super) fn bytes(&self) -> u64 {
        let size = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len) as u64;
        match self {
            Fetched::InBuffer(message) => size(message.key()) + size(message.payload()),
            Fetched::Held(message) => size(message.key()) + size(message.payload()),
        }
    }

    /// A name that is not UTF-8 is shown with replacement characters; rdkafka's own iterator panics at it.
    pub(super) fn headers(&self) -> Vec<NamedHeader<'_>> {
        let raw = self.native_headers().map(raw_headers).unwrap_or_default();
        raw.into_iter().map(|(name, value)| (String::from_utf8_lossy(name), value)).collect()
    }

    /// A copy, byte for byte.
    pub(super) fn content(&self) -> Content {
        match self {
            Fetched::InBuffer(message) => Content::of(message, self.native_headers()),
            Fetched::Held(message) => Content::of(message, self.native_headers()),
        }
    }

    fn native_headers(&self) -> Option<&BorrowedHeaders> {
        match self {
            Fetched::InBuffer(message) => message.headers(),
            Fetched::Held(message) => message.headers().map(OwnedHeaders::as_borrowed),
        }
    }

    pub(super) fn record<'r>(&'r self, partition: i32, headers: &'r [Header<'r>]) -> Record<'r> {
        fn of<'r, M: Message>(message: &'r M, partition: i32, headers: &'r [Header<'r>]) -> Record<'r> {
            Record {
                partition,
                offset: message.offset(),
                timestamp_ms: message.timestamp().to_millis(),
                key: message.key(),
                value: message.payload(),
                headers,
            }
        }
        match self {
            Fetched::InBuffer(message) => of(message, partition, headers),
            Fetched::Held(message) => of(message, partition, headers),
        }
    }
}

/// Records of one batch, in order within each lane.
pub(super) struct Gathered<'q> {
    /// With the index of their lane.
    pub(super) records: Vec<(usize, Fetched<'q>)>,
    pub(super) bytes: u64,
    /// Time spent waiting for more.
    pub(super) waited: Duration,
}

/// Takes what there is, at most `bytes_max` (and one record more). `last_batch` is when the last one was complete.
pub(super) fn gather<'q>(
    queues: &'q [PartitionQueue<SourceContext>],
    lanes: &mut [Lane],
    bytes_max: u64,
    last_batch: Instant,
    bell: &Bell,
) -> Gathered<'q> {
    let mut gathered = Gathered { records: vec![], bytes: 0, waited: Duration::ZERO };
    let until = last_batch + BATCH_INTERVAL;
    loop {
        let before = gathered.records.len();
        for (index, (queue, lane)) in queues.iter().zip(lanes.iter_mut()).enumerate() {
            take_turn(queue, lane, index, bytes_max, &mut gathered);
        }
        let count = gathered.records.len();
        if count >= BATCH_RECORDS_MAX || gathered.bytes >= bytes_max {
            return gathered;
        }
        if count == before {
            let now = Instant::now();
            if count == 0 || count >= ENOUGH_RECORDS || now >= until {
                return gathered;
            }
            bell.wait(until - now);
            gathered.waited += now.elapsed();
        }
    }
}

fn take_turn<'q>(
    queue: &'q PartitionQueue<SourceContext>,
    lane: &mut Lane,
    index: usize,
    bytes_max: u64,
    gathered: &mut Gathered<'q>,
) {
    let now = Instant::now();
    // After a stop nothing more is taken, or the commit would pass the record it stopped at.
    if !lane.stopped
        && lane.held_needs(now).is_some_and(|(_, need)| need == Need::Nothing)
        && let Some(held) = lane.held.take()
    {
        if let Some(leader) = lane.held_leader.take() {
            lane.state.set_leader(leader);
        }
        add(Fetched::Held(held), lane, index, gathered);
    }
    for _ in 0..TURN_RECORDS {
        if gathered.records.len() >= BATCH_RECORDS_MAX || gathered.bytes >= bytes_max {
            return;
        }
        if lane.held.is_some() || lane.stopped {
            return;
        }
        match queue.poll(Duration::ZERO) {
            None => return lane.queue_is_empty(),
            Some(Ok(message))
                if lane.window.need(message.offset(), message.timestamp().to_millis(), now) == Need::Nothing =>
            {
                if let Some(leader) = leader_epoch(&message) {
                    lane.state.set_leader(leader);
                }
                add(Fetched::InBuffer(message), lane, index, gathered);
            }
            Some(Ok(message)) => {
                lane.held_leader = leader_epoch(&message);
                lane.held = Some(message.detach());
            }
            Some(Err(KafkaError::PartitionEOF(_))) => lane.seen_eof = true,
            Some(Err(error)) => {
                lane.stopped = true;
                lane.state.request_stop(stop(&error, lane.position));
                return;
            }
        }
    }
}

fn add<'q>(record: Fetched<'q>, lane: &mut Lane, index: usize, gathered: &mut Gathered<'q>) {
    lane.position = record.offset() + 1;
    gathered.bytes += record.bytes();
    gathered.records.push((index, record));
}

/// What a partition's error means. Its supervisor looks again after a while; what it finds then is more exact.
fn stop(error: &KafkaError, position: i64) -> Stop {
    let code = match error {
        KafkaError::MessageConsumption(code) | KafkaError::MessageConsumptionFatal(code) => Some(*code),
        _ => None,
    };
    if let Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) = code {
        let reason = format!("offset {position} is not in the log: retention passed it, or the log lost its end");
        return Stop { reason, again: Again::Doubted };
    }
    Stop::other(match code {
        // Going on would skip the damaged batch (K11).
        Some(RDKafkaErrorCode::BadMessage) => format!("records from offset {position} on are damaged (bad checksum)"),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicId,
        ) => format!(
            "the brokers do not know this topic or partition at the moment ({error}): it was deleted, or is being made again; it is looked at again every 10 s"
        ),
        _ => format!("Kafka, at offset {position}: {error}"),
    })
}
