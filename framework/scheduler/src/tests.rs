//! Steps against a master in memory.

mod jobs;
mod kinds;
mod launching;
mod liveness;
mod manners;
mod property;
mod restart;
mod updates;
mod views;
mod wishes;
mod world;
