//! The one place of the scheduler that reads clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use millstream_scheduler::Now;

/// Milliseconds since 1970; a wall clock before that is as good as none, for it is only shown.
pub(crate) fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// Counts from its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Clock(Instant::now())
    }

    pub(crate) fn now(self) -> Now {
        Now { mono_ms: self.0.elapsed().as_millis() as u64, wall_ms: wall_ms() }
    }
}
