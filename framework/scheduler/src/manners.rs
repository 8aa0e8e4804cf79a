//! Other frameworks live here too: SUPPRESS when nothing is wanted, REVIVE rarely, and never lose a want.

use millstream_mesos_types::scheduler::{Call, Roles};

use crate::{Audit, Effects, State};

/// Shortest time between two REVIVEs: each clears all our filters and makes the allocator offer everything again.
const REVIVE_EVERY_MS: u64 = 5_000;

/// What the master thinks we want.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manners {
    pub(crate) suppressed: bool,
    /// The last of our decline filters ends then.
    filtered_until: u64,
    last_revive: Option<u64>,
    /// Something is wanted that was not when the filters were set.
    new_want: bool,
}

impl Manners {
    /// A new subscription begins without filters and without suppression.
    pub(crate) fn subscribed(&mut self) {
        // A REVIVE if anything waits: a subscription taken over unnoticed may have kept our old filters.
        (self.suppressed, self.filtered_until, self.new_want) = (false, 0, true);
    }

    /// Something new is wanted.
    pub(crate) fn want(&mut self) {
        self.new_want = true;
    }

    /// Offers were given back for this long.
    pub(crate) fn filtered(&mut self, until: u64) {
        self.filtered_until = self.filtered_until.max(until);
    }
}

/// Says at the end of a step, after its declines, whether offers are wanted (a REVIVE overtaken by a decline is lost).
pub(crate) fn settle(state: &mut State, effects: &mut Effects) {
    if !state.is_subscribed() {
        return;
    }
    let now = state.now();
    let roles = || Roles { roles: vec![state.settings.framework.role.clone()] };
    let manners = &mut state.manners;
    if state.pending.is_empty() {
        manners.new_want = false;
        if !manners.suppressed {
            manners.suppressed = true;
            effects.calls.push(Call::Suppress { suppress: roles() });
            effects.audit.push(Audit::Suppressed);
        }
        return;
    }
    let hidden = manners.suppressed || (manners.new_want && now < manners.filtered_until);
    if !hidden {
        manners.new_want = false;
    } else if manners.last_revive.is_none_or(|at| now >= at + REVIVE_EVERY_MS) {
        *manners = Manners { last_revive: Some(now), ..Manners::default() };
        effects.calls.push(Call::Revive { revive: roles() });
        effects.audit.push(Audit::Revived);
    }
}
