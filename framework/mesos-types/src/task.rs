use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AgentId, Base64, DurationInfo, ExecutorId, FrameworkId, Resource, TaskId};

/// `TaskInfo`, of the kind with a custom executor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskInfo {
    /// For people.
    pub name: String,
    /// Unique for ever.
    pub task_id: TaskId,
    /// The agent of the offers.
    pub agent_id: AgentId,
    /// What it takes from the offers.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// Byte for byte the same for every task of a running executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<ExecutorInfo>,
    /// Read by the executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Base64>,
    /// Grace between KILL and the end by force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_policy: Option<KillPolicy>,
}

/// `ExecutorInfo`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutorInfo {
    /// `CUSTOM`
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its id.
    pub executor_id: ExecutorId,
    /// Filled in by the master when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framework_id: Option<FrameworkId>,
    /// How it is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandInfo>,
    /// What the executor itself takes, besides its tasks.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Read by the executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Base64>,
    /// Time between SHUTDOWN and the end by force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown_grace_period: Option<DurationInfo>,
}

/// `CommandInfo`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CommandInfo {
    /// A shell's line when `shell`, else the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Mesos' default is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<bool>,
    /// Arguments, the program's own name first.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Fetched into the sandbox first.
    #[serde(default)]
    pub uris: Vec<Uri>,
    /// Added to the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// Unix user that it runs as; none for the framework's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// `CommandInfo.URI`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Uri {
    /// Where from.
    pub value: String,
    /// Set the executable bit.
    #[serde(default)]
    pub executable: bool,
    /// Unpack archives; Mesos' default is true.
    #[serde(default)]
    pub extract: bool,
    /// Keep in the agent's fetcher cache, under the whole of `value`.
    #[serde(default)]
    pub cache: bool,
    /// Name in the sandbox; absent for the last part of `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_file: Option<String>,
}

/// `Environment`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Environment {
    /// The variables.
    #[serde(default)]
    pub variables: Vec<Variable>,
}

/// `Environment.Variable`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Name.
    pub name: String,
    /// Value.
    #[serde(default)]
    pub value: Option<String>,
}

/// `KillPolicy`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillPolicy {
    /// The grace.
    pub grace_period: Option<DurationInfo>,
}

/// `TaskStatus`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// Of which task.
    pub task_id: TaskId,
    /// The state.
    pub state: TaskState,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `SOURCE_MASTER`, `SOURCE_AGENT`, `SOURCE_EXECUTOR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `REASON_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Free for executor and scheduler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Base64>,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// Its executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_id: Option<ExecutorId>,
    /// Seconds since the epoch, when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<f64>,
    /// Present exactly when the update must be acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Base64>,
}

/// `TaskState`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)] // Mesos' own names say it
pub enum TaskState {
    TaskStaging,
    TaskStarting,
    TaskRunning,
    TaskKilling,
    TaskFinished,
    TaskFailed,
    TaskKilled,
    TaskError,
    TaskDropped,
    TaskGone,
    TaskLost,
    TaskUnreachable,
    TaskGoneByOperator,
    #[serde(other)]
    TaskUnknown,
}

impl TaskState {
    /// The task has ended and will not come back. LOST, UNREACHABLE, UNKNOWN and GONE_BY_OPERATOR may.
    pub fn is_terminal(self) -> bool {
        use TaskState::*;
        matches!(self, TaskFinished | TaskFailed | TaskKilled | TaskError | TaskDropped | TaskGone)
    }
}
