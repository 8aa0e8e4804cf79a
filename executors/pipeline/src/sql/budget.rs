//! What the constants of one statement may cost. A plan is made on the scheduler too, of whatever a stranger sends it.

use std::cell::Cell;

use datafusion_common::{Result, plan_err};

use super::amplify::Cost;

/// Most bytes that one call over constants may make on the way to its own, which is bounded more tightly.
const MAX_MADE_BYTES: usize = 1024 * 1024;

/// Most bytes of all constants that are computed.
const MAX_KEPT_BYTES: usize = 4 * 1024 * 1024;

/// Most steps that computing them takes, and bytes that are read and made: about a second.
const MAX_STEPS: u64 = 256 * 1024 * 1024;

/// What is used up so far, by a statement and by all that is tried in its place to explain an error.
#[derive(Debug, Default)]
pub(super) struct Budget {
    steps: Cell<u64>,
    kept: Cell<usize>,
}

impl Budget {
    /// Before `what` is computed over constants of `read` bytes.
    pub(super) fn spend(&self, what: &str, read: usize, cost: Cost) -> Result<()> {
        if cost.bytes > MAX_MADE_BYTES {
            return plan_err!("{what} would make {} bytes, more than {MAX_MADE_BYTES} for a constant", cost.bytes);
        }
        let steps = cost.steps.saturating_add(cost.bytes as u64).saturating_add(read as u64);
        self.steps.set(self.steps.get().saturating_add(steps));
        if self.steps.get() > MAX_STEPS {
            return plan_err!("{what} takes the constants of the statement to more than {MAX_STEPS} steps");
        }
        Ok(())
    }

    /// Once a constant of `bytes` is computed.
    pub(super) fn keep(&self, bytes: usize) -> Result<()> {
        self.kept.set(self.kept.get().saturating_add(bytes));
        if self.kept.get() > MAX_KEPT_BYTES {
            return plan_err!("the constants of the statement take more than {MAX_KEPT_BYTES} bytes");
        }
        Ok(())
    }
}
