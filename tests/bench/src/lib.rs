//! What the benchmarks share.

pub mod executor;
pub mod meter;
