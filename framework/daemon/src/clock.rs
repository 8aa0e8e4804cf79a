//! The one place of the scheduler that reads clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use millstream_scheduler::Now;

/// Counts from its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Clock(Instant::now())
    }

    pub(crate) fn now(self) -> Now {
        // A wall clock before 1970 is as good as none: it is only shown.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono_ms: self.0.elapsed().as_millis() as u64, wall_ms: wall.as_millis() as u64 }
    }
}
