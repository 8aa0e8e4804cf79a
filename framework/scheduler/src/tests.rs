//! Steps against a master in memory.

mod crashes;
mod faults;
mod jobs;
mod kept;
mod kinds;
mod lag;
mod launching;
mod liveness;
mod maintenance;
mod manners;
mod operators;
mod property;
mod restart;
mod rollout;
mod stored;
mod updates;
mod views;
mod volumes;
mod wishes;
mod world;
