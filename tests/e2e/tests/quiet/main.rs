//! Quiet days: executors that idle, commits that are forgotten, topics that are made anew, tables that change. Single
//! executors (`millstream-executor standalone`) on the real Kafka and Cassandra; what is wanted is computed here, with no code
//! of the executor.

mod clocks;
mod forgotten;
mod guardrails;
mod letters;
mod moved;
mod remade;
mod stage;
mod stamps;
mod storm;
mod truncated;
