//! Steps against a master in memory.

mod faults;
mod jobs;
mod kinds;
mod launching;
mod liveness;
mod maintenance;
mod manners;
mod property;
mod restart;
mod rollout;
mod stored;
mod updates;
mod views;
mod volumes;
mod wishes;
mod world;
