//! One input, one step, one frame.

use crate::{
    Audit, Effects, EndCause, Input, Now, State, ending, jobs, liveness, maintenance, manners, offers, operations,
    reconcile, records::Aim, rollout, updates, volumes,
};

/// Takes in what happened: changes the state and says what to store, to send and to tell. The caller applies the records
/// in one transaction before any call leaves; when that fails, it must not go on with this state.
pub fn step(state: &mut State, input: Input, now: Now) -> Effects {
    let mut effects = Effects::default();
    state.advance(now, &mut effects);
    match input {
        Input::Subscribed { framework_id } => subscribed(state, &mut effects, framework_id.value),
        Input::Disconnected => disconnected(state, &mut effects),
        Input::FrameworkRemoved => framework_removed(state, &mut effects),
        Input::Offers(list) => {
            maintenance::offered(state, &mut effects, &list);
            volumes::seen(state, &list);
            offers::answer(state, &mut effects, list);
        }
        Input::Rescind { offer_id } => effects.audit.push(Audit::OfferRescinded { offer: offer_id }),
        Input::InverseOffers(list) => maintenance::answer(state, &mut effects, list),
        Input::RescindInverseOffer { offer_id } => maintenance::rescinded(state, &mut effects, offer_id),
        Input::OperationStatus(status) => operations::status(state, &mut effects, status),
        Input::Update(status) => updates::update(state, &mut effects, status),
        Input::Message { agent_id, executor_id, data } => {
            liveness::message(state, &mut effects, agent_id, executor_id, &data);
        }
        Input::Failure { agent_id, executor_id, status } => {
            updates::failure(state, &mut effects, agent_id, executor_id, status);
        }
        Input::Deploy { spec, toml, begun } => jobs::deploy(state, &mut effects, *spec, toml, begun),
        Input::Stop { job } => jobs::stop(state, &mut effects, &job),
        Input::Delete { job } => jobs::delete(state, &mut effects, &job),
        Input::Topology { job, topology } => jobs::topology(state, &mut effects, job, topology),
        Input::LogEnds { job, ends } => jobs::log_ends(state, job, ends),
        Input::SourceGone { job, reason } => jobs::source_gone(state, &mut effects, job, reason),
        Input::Tick => tick(state, &mut effects),
    }
    jobs::finish_drains(state, &mut effects);
    manners::settle(state, &mut effects);
    effects.records = state.store.take_changes();
    effects
}

fn subscribed(state: &mut State, effects: &mut Effects, framework_id: String) {
    let known = state.store.framework() == Some(framework_id.as_str());
    if !known && state.store.framework().is_some() {
        // The master gave another id than it was asked for: what ran under the old one is not ours any more.
        framework_removed(state, effects);
    }
    // Stored also when it is known: a leader that was paused and has a successor fails at this fenced write, before any call
    // of its old state leaves (it would kill the successor's tasks as strangers).
    state.store.set_framework(Some(framework_id.clone()));
    let now = state.now();
    let away_ms = state.disconnected_at.take().map_or(0, |at| now.saturating_sub(at));
    state.subscribed_at = Some(now);
    state.manners.subscribed();
    for watch in state.tasks.values_mut() {
        // They died with the subscription before.
        watch.offers.clear();
        // No KILL could be sent meanwhile.
        watch.drain_deadline = watch.drain_deadline.map(|deadline| deadline + away_ms);
    }
    for watch in state.executors.values_mut() {
        watch.reported_at = None;
        watch.watched_from = now;
    }
    effects.audit.push(Audit::Subscribed { framework_id, known, tasks: state.store.tasks().len() });
    reconcile::start(state, effects);
    operations::start(state, effects);
    ending::look_after(state, effects);
}

fn disconnected(state: &mut State, effects: &mut Effects) {
    if state.subscribed_at.take().is_some() {
        state.disconnected_at = Some(state.now());
        state.reconciliation.stop();
        state.operations.stop();
        // What still holds is said again after the next subscription.
        state.maintenance.clear();
        effects.audit.push(Audit::Disconnected);
    }
}

fn framework_removed(state: &mut State, effects: &mut Effects) {
    let tasks: Vec<_> = state.store.tasks().iter().map(|(id, task)| (id.clone(), task.aim)).collect();
    effects.audit.push(Audit::FrameworkRemoved { tasks: tasks.len() });
    state.subscribed_at = None;
    state.reconciliation.stop();
    state.operations.stop();
    state.store.set_framework(None);
    for (id, aim) in tasks {
        if aim != Aim::Condemned {
            let message = "the master removed the framework and all its tasks";
            ending::end(state, effects, &id, ending::End::known(EndCause::FrameworkRemoved, message));
        } else {
            ending::forget(state, effects, &id);
        }
    }
}

fn tick(state: &mut State, effects: &mut Effects) {
    jobs::forgive(state);
    volumes::tick(state);
    if state.is_subscribed() {
        liveness::replace_silent(state, effects);
        ending::look_after(state, effects);
        reconcile::tick(state, effects);
        operations::tick(state, effects);
        maintenance::tick(state, effects);
        rollout::advance(state, effects);
    }
}
