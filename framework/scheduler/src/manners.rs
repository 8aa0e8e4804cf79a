//! Other frameworks live here too: SUPPRESS when nothing is wanted, REVIVE rarely, never lose a want, and tell the master
//! what is useless (UPDATE_FRAMEWORK).

use millstream_mesos_types::scheduler::{Call, Roles};

use crate::{Audit, Effects, State, TICK_MS, wishes::Wishes};

/// Shortest time between two REVIVEs: each clears all our filters and makes the allocator offer everything again. An
/// UPDATE_FRAMEWORK keeps the same rhythm, so that each REVIVE meets the wishes of its time.
pub(crate) const REVIVE_EVERY_MS: u64 = 5_000;

/// What waits says its wishes again after this long: the master refuses an UPDATE_FRAMEWORK while it is busy with another
/// (409), and a job must not be hidden for ever by what another one wanted before.
const TELL_AGAIN_MS: u64 = 60_000;

/// What the master thinks we want.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manners {
    /// None after a new subscription: the session may have said at it what held long ago.
    suppressed: Option<bool>,
    /// The last of our decline filters ends then.
    filtered_until: u64,
    /// Last REVIVE or UPDATE_FRAMEWORK.
    last_said: Option<u64>,
    /// Last REVIVE.
    revived_at: Option<u64>,
    /// Something is wanted that was not when the filters were set.
    new_want: bool,
    /// As last told, on whichever subscription.
    wishes: Wishes,
    /// When they were told on this subscription.
    told_at: Option<u64>,
    /// When it was last looked whether they have changed.
    looked_at: Option<u64>,
}

impl Manners {
    /// A new subscription begins without filters, and with whatever suppression and wishes the session said.
    pub(crate) fn subscribed(&mut self) {
        (self.suppressed, self.filtered_until, self.told_at) = (None, 0, None);
    }

    /// Something new is wanted.
    pub(crate) fn want(&mut self) {
        self.new_want = true;
    }

    /// Offers were given back for this long.
    pub(crate) fn filtered(&mut self, until: u64) {
        self.filtered_until = self.filtered_until.max(until);
    }

    /// No offers are wanted, and the master knows.
    pub(crate) fn is_suppressed(&self) -> bool {
        self.suppressed == Some(true)
    }

    /// What is offered at `now` may be hidden from us: by our filters, or because none was wanted.
    fn is_hidden(&self, now: u64) -> bool {
        self.suppressed != Some(false) || (self.new_want && now < self.filtered_until)
    }

    /// Until offers are asked for, in milliseconds; none when nothing is hidden, so that there is nothing to ask for.
    pub(crate) fn revive_in_ms(&self, now: u64) -> Option<u64> {
        let due_at = self.last_said.map_or(now, |at| at + REVIVE_EVERY_MS);
        self.is_hidden(now).then(|| due_at.saturating_sub(now))
    }

    /// How long ago offers were asked for, in milliseconds.
    pub(crate) fn revived_ms_ago(&self, now: u64) -> Option<u64> {
        self.revived_at.map(|at| now.saturating_sub(at))
    }

    /// As last told to the master.
    pub(crate) fn wishes(&self) -> &Wishes {
        &self.wishes
    }
}

/// Says at the end of a step, after its declines, whether offers are wanted (a REVIVE overtaken by a decline is lost), and
/// before that, which.
pub(crate) fn settle(state: &mut State, effects: &mut Effects) {
    if !state.is_subscribed() {
        return;
    }
    let due = state.manners.last_said.is_none_or(|at| state.now() >= at + REVIVE_EVERY_MS);
    let wanted = state.wants_offers();
    // Wishes are made of all that waits: not at each report of each executor.
    let look = state.manners.looked_at.is_none_or(|at| state.now() >= at + TICK_MS);
    if due && (look || state.manners.new_want) {
        tell_wishes(state, effects, wanted);
    }
    if wanted { revive(state, effects, due) } else { suppress(state, effects) }
}

/// While nothing is wanted only the capability counts: it must not outlive the jobs that need it.
fn tell_wishes(state: &mut State, effects: &mut Effects, wanted: bool) {
    let now = state.now();
    state.manners.looked_at = Some(now);
    let manners = &state.manners;
    let wishes = Wishes::now(state, &manners.wishes);
    let fresh = manners.told_at.is_some_and(|at| now < at + TELL_AGAIN_MS);
    if wishes.revocable == manners.wishes.revocable && (!wanted || fresh && wishes == manners.wishes) {
        return;
    }
    let update_framework = wishes.subscription(state, state.manners.is_suppressed());
    effects.calls.push(Call::UpdateFramework { update_framework });
    effects.audit.push(Audit::WishesTold {
        sizes: wishes.sizes.len(),
        groups: wishes.groups.len(),
        revocable: wishes.revocable,
    });
    let manners = &mut state.manners;
    (manners.wishes, manners.told_at, manners.last_said) = (wishes, Some(now), Some(now));
}

fn revive(state: &mut State, effects: &mut Effects, due: bool) {
    let (now, revive) = (state.now(), roles(state));
    let manners = &mut state.manners;
    if !manners.is_hidden(now) {
        manners.new_want = false;
    } else if due {
        (manners.suppressed, manners.filtered_until, manners.new_want) = (Some(false), 0, false);
        (manners.last_said, manners.revived_at) = (Some(now), Some(now));
        effects.calls.push(Call::Revive { revive });
        effects.audit.push(Audit::Revived);
    }
}

fn suppress(state: &mut State, effects: &mut Effects) {
    let suppress = roles(state);
    let manners = &mut state.manners;
    manners.new_want = false;
    if manners.suppressed != Some(true) {
        manners.suppressed = Some(true);
        effects.calls.push(Call::Suppress { suppress });
        effects.audit.push(Audit::Suppressed);
    }
}

fn roles(state: &State) -> Roles {
    Roles { roles: vec![state.settings.framework.role.clone()] }
}
