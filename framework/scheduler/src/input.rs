use std::collections::BTreeMap;

use millstream_mesos_types::{FrameworkId, InverseOffer, Offer, OperationStatus, TaskStatus, scheduler::Event};
use millstream_placement::JobTopology;
use millstream_spec::JobSpec;

/// The time, handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds that never go back; from any start. All timers run on it.
    pub mono_ms: u64,
    /// Milliseconds since the Unix epoch; only for records and people.
    pub wall_ms: u64,
}

/// One thing that happened. One input, one step, one frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The master took the subscription.
    Subscribed {
        /// Our id; stored before anything else.
        framework_id: FrameworkId,
    },
    /// The event stream is gone, and with it all offers.
    Disconnected,
    /// The master has removed the framework ("Framework has been removed"): the id is forgotten, and all tasks are gone.
    FrameworkRemoved,
    /// New offers.
    Offers(Vec<Offer>),
    /// An offer is no longer valid. Offers are answered in their own step, so there is nothing to take back.
    Rescind {
        /// Which.
        offer_id: String,
    },
    /// Agents are asked back for a maintenance.
    InverseOffers(Vec<InverseOffer>),
    /// An inverse offer is no longer valid: its maintenance was cancelled or changed, or its agent is gone.
    RescindInverseOffer {
        /// Which.
        offer_id: String,
    },
    /// A task has another state.
    Update(TaskStatus),
    /// What became of an operation.
    OperationStatus(OperationStatus),
    /// Data from an executor: a `protocol::Report` as JSON.
    Message {
        /// Where the executor is.
        agent_id: String,
        /// The executor.
        executor_id: String,
        /// The bytes.
        data: Vec<u8>,
    },
    /// An agent was removed, or (with `executor_id`) an executor ended.
    Failure {
        /// The agent.
        agent_id: Option<String>,
        /// The executor.
        executor_id: Option<String>,
        /// Its exit status.
        status: Option<i32>,
    },
    /// A job, new or changed; checked by the caller.
    Deploy {
        /// Parsed.
        spec: Box<JobSpec>,
        /// As written.
        toml: String,
        /// What the table's lists of timestamp blocks know of the job; none when they have not begun.
        begun: Option<Begun>,
    },
    /// Drain the job and keep it stopped.
    Stop {
        /// Its name.
        job: String,
    },
    /// Forget a stopped job.
    Delete {
        /// Its name.
        job: String,
    },
    /// What a job's topic and keyspace look like now.
    Topology {
        /// The job.
        job: String,
        /// Its topology.
        topology: JobTopology,
    },
    /// The log ends of a job's topic now, as the scheduler's own watch has read them.
    LogEnds {
        /// The job.
        job: String,
        /// Partition → log end.
        ends: BTreeMap<i32, i64>,
    },
    /// A job's topic is not there.
    SourceGone {
        /// The job.
        job: String,
        /// What is wrong and what to do, one line.
        reason: String,
    },
    /// Time has passed: every 250 ms.
    Tick,
}

/// Nominal time between two [`Input::Tick`]s, in milliseconds.
pub const TICK_MS: u64 = 250;

impl Input {
    /// The input an event is; none for what needs no decision (heartbeats, unknown events) and for ERROR, which only the
    /// driver can judge.
    pub fn from_event(event: Event) -> Option<Input> {
        Some(match event {
            Event::Subscribed { subscribed } => Input::Subscribed { framework_id: subscribed.framework_id },
            Event::Offers { offers } => Input::Offers(offers.offers),
            Event::Rescind { rescind } => Input::Rescind { offer_id: rescind.offer_id.value },
            Event::InverseOffers { inverse_offers } => Input::InverseOffers(inverse_offers.inverse_offers),
            Event::RescindInverseOffer { rescind_inverse_offer: rescind } => {
                Input::RescindInverseOffer { offer_id: rescind.inverse_offer_id.value }
            }
            Event::UpdateOperationStatus { update_operation_status: update } => Input::OperationStatus(update.status),
            Event::Update { update } => Input::Update(update.status),
            Event::Message { message } => Input::Message {
                agent_id: message.agent_id.value,
                executor_id: message.executor_id.value,
                data: message.data.0,
            },
            Event::Failure { failure } => Input::Failure {
                agent_id: failure.agent_id.map(|id| id.value),
                executor_id: failure.executor_id.map(|id| id.value),
                status: failure.status,
            },
            Event::Error { .. } | Event::Heartbeat | Event::Unknown => return None,
        })
    }
}

/// What a job's lists of timestamp blocks say. A scheduler that lost its state, or has an old one, learns it from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// The newest generation that wrote.
    pub generation: u64,
    /// It made of records what the text that is deployed makes of them.
    pub is_same: bool,
}

impl Begun {
    /// The least generation by which the text may write.
    pub(crate) fn least(self) -> u64 {
        if self.is_same { self.generation } else { self.generation + 1 }
    }
}
