//! Seeded simulation; filled by the next commits.

fn main() {}
