//! A Mesos v1 master with N agents in one process, over real HTTP: what `millstream local` starts.
//!
//! Map: [`cluster`] is the pure state machine of master and agents; `edge` gives it sockets, time and processes; [`Local`]
//! is the handle of a running one and [`run`] the whole life of one. Agent I has the address 127.0.1.I, so that a "host"
//! can be judged on one machine.
//!
//! Executors are real processes. None is left behind: each runs in a process group with a guardian that ends the group
//! when this process ends, however it ends (`edge::container`).

pub mod cluster;
mod edge;
mod local;
mod options;

pub use cluster::{AgentIndex, Answer, OperatorCall, Refusal, Settings};
pub use local::{Local, LocalError, run};
pub use options::{LocalOptions, OptionsError};
