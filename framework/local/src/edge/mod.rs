//! Sockets, time and processes for the cluster.

pub(crate) mod agent_http;
mod answers;
mod container;
mod fetch;
pub(crate) mod hub;
pub(crate) mod master_http;
mod operator_http;
