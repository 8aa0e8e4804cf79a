//! Everything that can happen. Whoever an event is for may be another one by then; each names whom it was meant for.

use millstream_mesos_types::{
    ExecutorInfo, TaskInfo, TaskState, TaskStatus,
    scheduler::{Call, Event as MesosEvent, Subscribe},
};

use crate::amounts::Amounts;

pub(crate) enum Event {
    // Schedulers (crate::scheduler)
    Start,
    Tick { process: u64 },
    StreamSays { process: u64, stream: u64, event: Box<MesosEvent> },
    StreamEnds { process: u64, session: u64, stream: Option<u64> },
    Subscribe { process: u64, session: u64 },
    CallAnswered { process: u64, stream: u64, answer: Answer },
    StoreRetry { process: u64 },
    Resume { process: u64 },
    Deposed { process: u64 },
    TopologyRead { process: u64, job: String },
    TakeOver { process: u64 },
    // Masters (crate::master)
    Elected,
    SubscribeArrives { process: u64, session: u64, subscribe: Box<Subscribe> },
    CallArrives { process: u64, stream: u64, call: Box<Call> },
    Processes { epoch: u64, stream: u64, call: Box<Call> },
    StreamGone { epoch: u64, stream: u64 },
    Heartbeat { epoch: u64, stream: u64 },
    Allocate { epoch: u64 },
    ReregistrationOver { epoch: u64 },
    PingsMissed { epoch: u64, agent: String, link: u64 },
    ToMaster { epoch: u64, machine: usize, link: u64, message: FromAgent },
    // Agents (crate::agent)
    ToAgent { machine: usize, link: u64, epoch: u64, message: ToAgent },
    Register { machine: usize, link: u64 },
    AgentUp { machine: usize },
    AgentRecovered { machine: usize, start: u64 },
    Heal { machine: usize, link: u64 },
    RetryUpdate { machine: usize, task: String, token: u64 },
    RegistrationTimeout { machine: usize, executor: usize },
    ShutdownTimeout { executor: usize },
    FromExecutor { executor: usize, session: u64, message: FromExecutor },
    ExecutorExited { executor: usize, status: i32 },
    DrainOver { machine: usize },
    // Executors (crate::executor)
    ExecutorStarts { executor: usize },
    ToExecutor { executor: usize, session: u64, message: ToExecutor },
    ExecutorSubscribes { executor: usize },
    Beat { executor: usize },
    Wake { executor: usize },
    RecoveryTimeout { executor: usize, losses: u64 },
    GraceOver { executor: usize, task: String },
    Exit { executor: usize },
    Lands { executor: usize, write: Write },
    // People and fate
    User,
    Strike,
    MaintenanceBegins { machine: usize, until: crate::Ms },
    StoreWorks,
    Calm,
    Check,
}

/// What a call was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted,
    /// 400, 403: the stream is not valid any more.
    Stale,
    /// None came.
    Nothing,
}

/// What an agent tells a master.
#[derive(Clone)]
pub(crate) enum FromAgent {
    Register {
        id: Option<String>,
        tasks: Vec<KnownTask>,
        executors: Vec<KnownExecutor>,
    },
    /// A status, and the newest one the agent knows of.
    Update {
        framework: String,
        status: Box<TaskStatus>,
        latest: TaskState,
    },
    Message {
        framework: String,
        executor: String,
        data: Vec<u8>,
    },
    Exited {
        framework: String,
        executor: String,
        status: i32,
    },
}

/// A task as an agent that registers again names it.
#[derive(Clone)]
pub(crate) struct KnownTask {
    pub(crate) framework: String,
    pub(crate) id: String,
    pub(crate) state: TaskState,
    pub(crate) told: Option<TaskStatus>,
    pub(crate) takes: Amounts,
}

#[derive(Clone)]
pub(crate) struct KnownExecutor {
    pub(crate) framework: String,
    pub(crate) info: ExecutorInfo,
    pub(crate) takes: Amounts,
}

/// What a master tells an agent.
#[derive(Clone)]
pub(crate) enum ToAgent {
    Registered {
        id: String,
        unknown: Vec<(String, String)>,
        frameworks_over: Vec<String>,
    },
    Launch {
        framework: String,
        task: Box<TaskInfo>,
        new_executor: bool,
    },
    Kill {
        framework: String,
        task: String,
    },
    Shutdown {
        executor: String,
    },
    Acknowledge {
        task: String,
        uuid: Vec<u8>,
    },
    FrameworkOver {
        framework: String,
    },
    /// The agent shall end: it was marked gone.
    Leave,
}

/// What an agent tells an executor.
#[derive(Clone)]
pub(crate) enum ToExecutor {
    Launch(Box<TaskInfo>),
    Kill(String),
    Shutdown,
    Acknowledged(Vec<u8>),
    /// The connection is gone.
    Closed,
}

/// What an executor tells its agent.
pub(crate) enum FromExecutor {
    Subscribe { tasks: Vec<String>, updates: Vec<TaskStatus> },
    Update(Box<TaskStatus>),
    Message(Vec<u8>),
}

/// A batch on its way to the table.
pub(crate) struct Write {
    pub(crate) task: String,
    pub(crate) job: usize,
    pub(crate) generation: u64,
    pub(crate) partition: i32,
    /// Offset and timestamp of each record.
    pub(crate) rows: Vec<(i64, i64)>,
}
