use std::{collections::BTreeMap, sync::Arc};

use millstream_pipeline::{Binding, ColumnKind, Processor, Transform};
use millstream_protocol::ExecutorData;
use millstream_spec::{BadRecord, KafkaSource, Nulls};
use millstream_topology::{
    SettingError,
    cassandra::{Near, connect},
    kafka::{client_config, topic_id},
};
use rdkafka::{ClientConfig, consumer::Consumer as _, error::KafkaResult};
use tokio::{
    sync::{Semaphore, mpsc},
    task::spawn_blocking,
};

use super::{
    Shared, Trouble,
    backoff::Backoff,
    bind_table, causes,
    encode::Encoder,
    guard::Guarded,
    keeper,
    pump::{Pump, PumpHandle},
    schema::{self, Schema},
    trouble,
};
use crate::{
    bad_record::{BadRecords, LETTERS_AHEAD},
    blocks::{
        Life,
        before::{self, OldLists},
        store::Statements,
    },
    budget::Growth,
    dead_letter::Writer,
    metrics::Metrics,
    sink::{BATCHES_AHEAD, Sink, plan::Rules, target::Table},
    source::{
        self, SourceConsumer,
        context::SourceContext,
        offsets::{self, Commit},
        start::Committed,
        tier::Brokers,
    },
};

/// Questions to Kafka at once: each blocks a thread.
const QUESTIONS_AT_ONCE: usize = 4;

/// Words about the group's offset at once: nobody's questions hold them up.
const WORDS_AT_ONCE: usize = 2;

/// Requests for blocks that wait for the keeper; the pump asks again when there was no room.
const REQUESTS_AHEAD: usize = 256;

/// All that partitions need to run.
pub(super) struct Ready {
    pub(super) source: KafkaSource,
    /// What the scheduler says the records mean; the topic's id is found out at each begin.
    pub(super) life: Life,
    /// Lists of an earlier release, if there are any.
    pub(super) old_lists: Option<OldLists>,
    pub(super) schema: Schema,
    /// Settings of a consumer that reads single records.
    pub(super) read_config: ClientConfig,
    pub(super) metrics: Arc<Metrics>,
    pub(super) pump: Arc<PumpHandle>,
    pub(super) blocks: Arc<Statements>,
    pub(super) consumer: Arc<SourceConsumer>,
    questions: Semaphore,
    words: Semaphore,
}

impl Ready {
    /// Asks Kafka something that blocks.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&SourceConsumer) -> KafkaResult<T> + Send + 'static,
    ) -> KafkaResult<T> {
        self.blocking(&self.questions, question).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        room: &Semaphore,
        question: impl FnOnce(&SourceConsumer) -> KafkaResult<T> + Send + 'static,
    ) -> KafkaResult<T> {
        let _permit = room.acquire().await;
        let consumer = self.consumer.clone();
        match tokio::task::spawn_blocking(move || question(&consumer)).await {
            Ok(answer) => answer,
            Err(_) => Err(rdkafka::error::KafkaError::Canceled),
        }
    }

    /// Kafka's id of the topic now; none when there is no topic of this name, empty where brokers know no ids. The inner
    /// error is Kafka's text.
    pub(super) async fn topic_id(&self) -> KafkaResult<Result<Option<String>, String>> {
        let topic = self.source.topic.clone();
        self.ask(move |consumer| Ok(topic_id(consumer.client(), &topic))).await
    }

    /// What the group has committed for these partitions.
    pub(super) async fn committed(&self, partitions: Vec<i32>) -> KafkaResult<BTreeMap<i32, Committed>> {
        let topic = self.source.topic.clone();
        self.blocking(&self.words, move |consumer| offsets::committed(consumer, &topic, &partitions)).await
    }

    /// Commits, and waits for the answer.
    pub(super) async fn commit(&self, commits: Vec<Commit>) -> KafkaResult<()> {
        let topic = self.source.topic.clone();
        self.blocking(&self.words, move |consumer| offsets::commit(consumer, &topic, &commits)).await
    }
}

/// Why setup has not succeeded yet.
enum SetupError {
    /// It is tried again; a person may have to act, or not.
    Later(Trouble),
    /// Trying again is of no use.
    Never(String),
}

/// Connects and starts everything, for as long as it takes. An error is for good.
pub(super) async fn set_up(shared: Arc<Shared>, queue_bytes: u64) -> Result<Arc<Ready>, String> {
    let job = &shared.data.job;
    let transform = Transform::compile(&job.columns, &job.transform.sql).map_err(|error| error.message)?;
    let mut backoff = Backoff::default();
    loop {
        match try_set_up(&shared, &transform, queue_bytes).await {
            Ok(ready) => {
                shared.health.setup.clear();
                return Ok(ready);
            }
            Err(SetupError::Never(reason)) => return Err(reason),
            Err(SetupError::Later(trouble)) => {
                tracing::warn!(reason = %trouble.reason, "not ready");
                shared.health.setup.set(trouble);
                backoff.pause().await;
            }
        }
    }
}

async fn try_set_up(shared: &Arc<Shared>, transform: &Transform, queue_bytes: u64) -> Result<Arc<Ready>, SetupError> {
    let ExecutorData { job, generation, location, .. } = &shared.data;
    let source = job.source.clone();
    let config = spawn_blocking(move || client_config(&source)).await.unwrap_or(Err(SettingError::Interrupted));
    let config = config
        .map_err(|error| SetupError::Later(Trouble::stopped(format!("{}; {}", causes(&error), error.remedy()))))?;

    let near = Near { datacenter: location.cassandra_dc.clone(), rack: location.cassandra_rack.clone() };
    let session = connect(&job.sink, &near).await.map_err(|error| SetupError::Later(trouble(&error)))?;
    let session = Arc::new(session);
    let later = |error: &dyn std::error::Error| SetupError::Later(Trouble::stalled(causes(error)));
    let seen = schema::look(&session, &job.sink).await.map_err(|error| later(&error))?;
    let binding = bind_table(&session, &job.sink, transform).await.map_err(SetupError::Later)?;
    let table = Table::prepare(session.clone(), job.sink.clone(), transform.clone(), binding.clone());
    let table = table.await.map_err(|error| later(&error))?;
    let (keyspace, name, topic) = (&job.sink.keyspace, &job.name.0, &job.source.topic);
    let has_old = before::exist(&session, keyspace).await.map_err(|error| later(&error))?;
    let old_lists = has_old.then(|| OldLists::new(session.clone(), keyspace, name, topic));
    let schema = Schema::new(session.clone(), &job.sink, transform.clone(), binding.clone(), seen);
    let blocks = Statements::prepare(session, keyspace, name, topic);
    let blocks = Arc::new(blocks.await.map_err(|error| later(&error))?);

    let brokers = Arc::new(Brokers::new(location.clone()));
    let context = SourceContext {
        topic: job.source.topic.clone(),
        brokers: brokers.clone(),
        partitions: shared.partitions.clone(),
        health: shared.health.clone(),
        metrics: shared.metrics.clone(),
    };
    let consumer = source::consumer(&config, &job.source, location, queue_bytes, context)
        .map_err(|error| SetupError::Later(Trouble::stopped(format!("source.kafka.options: {error}"))))?;

    let asking = shared.clone();
    tokio::spawn(async move { brokers.learn(&asking.data.job).await });

    let bad_records = start_bad_records(shared, &config);
    let (batches, batch_queue) = mpsc::channel(BATCHES_AHEAD);
    let sink = Sink::new(Arc::new(table), bad_records.clone(), shared.health.clone(), shared.metrics.clone());
    spawn_essential(shared, async move {
        sink.run(batch_queue).await;
        Ok(())
    });

    let (requests, request_queue) = mpsc::channel(REQUESTS_AHEAD);
    let pump = Pump {
        consumer: consumer.clone(),
        partitions: shared.partitions.clone(),
        topic: job.source.topic.clone(),
        encoder: Encoder {
            rules: rules(&binding),
            processor: Guarded::new({
                let (topic, columns, transform) = (job.source.topic.clone(), job.columns.clone(), transform.clone());
                move || Processor::new(&topic, transform.clone(), binding.clone(), &columns)
            }),
            unset_nulls: job.sink.nulls == Nulls::Unset,
            bad_records,
            budget: shared.budget.clone(),
            growth: Growth::default(),
            bell: shared.bell.clone(),
            metrics: shared.metrics.clone(),
        },
        runtime: tokio::runtime::Handle::current(),
        batches,
        requests,
        budget: shared.budget.clone(),
        bell: shared.bell.clone(),
        metrics: shared.metrics.clone(),
    };
    let failing = shared.clone();
    let pump = pump
        .start(move |reason| failing.fail(reason))
        .map_err(|error| SetupError::Never(format!("no thread for the pump: {error}")))?;
    let pump = Arc::new(pump);
    tokio::spawn(keeper::run(request_queue, blocks.clone(), pump.clone(), shared.metrics.clone()));
    let group = job.source.group.clone();
    Ok(Arc::new(Ready {
        source: job.source.clone(),
        life: Life { generation: *generation, meaning: job.meaning(), topic_id: String::new(), group },
        old_lists,
        schema,
        read_config: source::plain_config(&config, &job.source),
        metrics: shared.metrics.clone(),
        pump,
        blocks,
        consumer,
        questions: Semaphore::new(QUESTIONS_AT_ONCE),
        words: Semaphore::new(WORDS_AT_ONCE),
    }))
}

fn rules(binding: &Binding) -> Rules {
    Rules {
        single_row_partitions: binding.partition_key_columns() == binding.key_columns(),
        has_static: binding.columns().iter().any(|column| column.kind == ColumnKind::Static),
    }
}

fn start_bad_records(shared: &Arc<Shared>, config: &ClientConfig) -> Arc<BadRecords> {
    let job = &shared.data.job;
    let (letters, queue) = mpsc::channel(LETTERS_AHEAD);
    if let BadRecord::DeadLetter(topic) = &job.errors.bad_record {
        let writer = Writer {
            job: job.name.0.clone(),
            source_topic: job.source.topic.clone(),
            topic: topic.clone(),
            config: config.clone(),
            read_config: source::plain_config(config, &job.source),
            health: shared.health.clone(),
            metrics: shared.metrics.clone(),
        };
        spawn_essential(
            shared,
            async move { writer.run(queue).await.map_err(|error| format!("dead letters: {error}")) },
        );
    }
    Arc::new(BadRecords::new(&job.errors, letters, shared.metrics.clone()))
}

/// Something without which no partition may go on.
fn spawn_essential(shared: &Arc<Shared>, work: impl Future<Output = Result<(), String>> + Send + 'static) {
    let (shared, work) = (shared.clone(), tokio::spawn(work));
    tokio::spawn(async move {
        // A panic is a failure like any other: the process starts anew instead of standing still.
        let result = work.await.unwrap_or_else(|panic| Err(panic.to_string()));
        if let Err(reason) = result {
            shared.fail(reason);
        }
    });
}
