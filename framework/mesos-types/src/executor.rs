//! Calls and events of the executor API, `POST /api/v1/executor` on the agent.

use serde::{Deserialize, Serialize};

use crate::{Base64, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, KillPolicy, TaskId, TaskInfo, TaskStatus};

/// A call as it travels, with the executor it is from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// `MESOS_EXECUTOR_ID`
    pub executor_id: ExecutorId,
    /// `MESOS_FRAMEWORK_ID`
    pub framework_id: FrameworkId,
    /// The call.
    #[serde(flatten)]
    pub call: Call,
}

/// What an executor says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Call {
    /// Opens the event stream; after a lost connection with all that was not acknowledged.
    Subscribe {
        /// What was not acknowledged.
        subscribe: Subscribe,
    },
    /// A task has another state.
    Update {
        /// Which.
        update: Update,
    },
    /// Data for the scheduler; may be lost.
    Message {
        /// What to say.
        message: Message,
    },
    /// The executor lives.
    Heartbeat,
    /// A call this version does not know.
    #[serde(other)]
    Unknown,
}

/// `Call.Subscribe`
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Subscribe {
    /// Tasks whose first update was not acknowledged.
    #[serde(default)]
    pub unacknowledged_tasks: Vec<TaskInfo>,
    /// Updates that were not acknowledged.
    #[serde(default)]
    pub unacknowledged_updates: Vec<Update>,
}

/// `Call.Update`: the executor makes the uuid (16 bytes).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// The status, with `source` `SOURCE_EXECUTOR`.
    pub status: TaskStatus,
}

/// `Call.Message`, `Event.Message`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// What is said.
    pub data: Base64,
}

/// What the agent tells an executor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Event {
    /// First event of every stream.
    Subscribed {
        /// Who and where.
        subscribed: Subscribed,
    },
    /// Start a task.
    Launch {
        /// Which.
        launch: Launch,
    },
    /// End a task.
    Kill {
        /// Which.
        kill: Kill,
    },
    /// An update need not be sent again.
    Acknowledged {
        /// Which.
        acknowledged: Acknowledged,
    },
    /// Data from the scheduler.
    Message {
        /// What is said.
        message: Message,
    },
    /// End all tasks and exit within the grace.
    Shutdown,
    /// The subscription failed for good.
    Error {
        /// Why.
        error: crate::scheduler::ErrorMessage,
    },
    /// The stream lives.
    Heartbeat,
    /// An event this version does not know: ignored.
    #[serde(other)]
    Unknown,
}

/// `Event.Subscribed`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscribed {
    /// As the scheduler launched it.
    pub executor_info: ExecutorInfo,
    /// Whose it is.
    pub framework_info: FrameworkInfo,
    /// Where it is.
    pub agent_info: AgentInfo,
}

/// `AgentInfo`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentInfo {
    /// Host name.
    pub hostname: String,
    /// Port.
    #[serde(default)]
    pub port: Option<u16>,
    /// Its id.
    #[serde(default)]
    pub id: Option<crate::AgentId>,
}

/// `Event.Launch`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// The task.
    pub task: TaskInfo,
}

/// `Event.Kill`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kill {
    /// The task.
    pub task_id: TaskId,
    /// Overrides the task's own.
    #[serde(default)]
    pub kill_policy: Option<KillPolicy>,
}

/// `Event.Acknowledged`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The task.
    pub task_id: TaskId,
    /// The update's uuid.
    pub uuid: Base64,
}
