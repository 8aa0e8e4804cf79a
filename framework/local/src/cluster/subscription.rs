use std::{collections::BTreeSet, time::Duration};

use millstream_mesos_types::{
    FrameworkId, OfferId,
    scheduler::{ErrorMessage, Event, Subscribe, Subscribed},
};

use super::{
    Cluster, Effect, Refusal, StreamId,
    constraints::Constraints,
    infos::{constraints, framework_error, update_error},
    model::{Framework, Owner},
};

impl Cluster {
    /// SUBSCRIBE on a stream that the edge has just opened; the answer is the stream, even when it only says ERROR.
    pub fn subscribe(
        &mut self,
        now: Duration,
        stream: StreamId,
        framework_id: Option<&FrameworkId>,
        subscribe: Subscribe,
    ) -> Result<(), Refusal> {
        self.led(now)?;
        if subscribe.framework_info.id.as_ref() != framework_id {
            return Err(Refusal::new(400, "'framework_id' differs from 'subscribe.framework_info.id'"));
        }
        let constraints = match self.check_subscription(&subscribe) {
            Ok(constraints) => constraints,
            Err(message) => {
                self.effects.push(Effect::Tell(stream, error(message)));
                self.effects.push(Effect::Close(stream));
                return Ok(());
            }
        };
        let mut info = subscribe.framework_info;
        let id = match &info.id {
            Some(id) => id.clone(),
            None => FrameworkId::new(self.new_id("F")),
        };
        info.id = Some(id.clone());
        self.replace_older_subscription(&id);
        let (unix_secs, heartbeat) = (self.unix_secs(), self.settings.heartbeat);
        let framework = self.frameworks.entry(id.clone()).or_insert_with(|| Framework::new(info.clone(), unix_secs));
        // Mesos keeps these two, whatever is said later.
        (info.user, info.checkpoint) = (framework.info.user.clone(), framework.info.checkpoint);
        framework.info = info;
        framework.stream = Some(stream);
        framework.remove_at = None;
        framework.next_heartbeat = now + heartbeat;
        framework.suppressed = subscribe.suppressed_roles.into_iter().collect();
        framework.constraints = constraints;
        framework.forget_filters();
        self.streams.insert(stream, Owner::Framework(id.clone()));
        let heartbeat_interval_seconds = Some(heartbeat.as_secs_f64());
        let subscribed = Subscribed { framework_id: id.clone(), heartbeat_interval_seconds };
        self.effects.push(Effect::Tell(stream, Event::Subscribed { subscribed }));
        self.effects.push(Effect::Tell(stream, Event::Heartbeat));
        self.resend_updates(&id);
        Ok(())
    }

    /// UPDATE_FRAMEWORK: what it says replaces what SUBSCRIBE said. Offers that are out stay, but for those in roles that
    /// are left.
    pub(super) fn update_framework(&mut self, id: &FrameworkId, call: Subscribe) -> Result<(), Refusal> {
        if call.framework_info.id.as_ref() != Some(id) {
            return Err(Refusal::new(400, "'framework_id' differs from 'update_framework.framework_info.id'"));
        }
        let framework = self.frameworks.get_mut(id).ok_or_else(|| Refusal::new(400, "Framework cannot be found"))?;
        let bad = |what: &str, error: String| Refusal::new(400, format!("{what} is not valid: {error}"));
        if let Some(error) = framework_error(&call.framework_info) {
            return Err(bad("Supplied FrameworkInfo", error));
        }
        if let Some(error) = update_error(&framework.info, &call.framework_info) {
            return Err(bad("FrameworkInfo update", error));
        }
        framework.constraints = constraints(&call).map_err(|error| bad("'UpdateFramework' call", error))?;
        framework.info = call.framework_info;
        let suppressed: BTreeSet<String> = call.suppressed_roles.into_iter().collect();
        let before = std::mem::replace(&mut framework.suppressed, suppressed);
        let roles = framework.roles();
        // As in Mesos: roles that are no longer suppressed are revived, and that ends all inverse filters every time.
        let revived = |role: &String| before.contains(role) && !framework.suppressed.contains(role);
        framework.filters.retain(|filter| roles.contains(&filter.role) && !revived(&filter.role));
        framework.inverse_filters.clear();
        let left = self.offers.iter().filter(|(_, offer)| offer.framework == *id && !roles.contains(&offer.role));
        for offer in left.map(|(offer, _)| offer.clone()).collect::<Vec<_>>() {
            self.rescind(offer);
        }
        Ok(())
    }

    /// A stream's reader has gone.
    pub fn stream_closed(&mut self, now: Duration, stream: StreamId) {
        self.at(now);
        match self.streams.remove(&stream) {
            Some(Owner::Framework(id)) => self.framework_disconnected(&id),
            Some(Owner::Executor(agent, key)) => {
                if let Some(executor) = self.agents[agent].executors.get_mut(&key) {
                    executor.stream = executor.stream.filter(|current| *current != stream);
                }
            }
            None => {}
        }
    }

    /// Ends a framework: its executors are shut down, its tasks forgotten.
    pub(super) fn remove_framework(&mut self, id: &FrameworkId) {
        self.void_offers(id);
        let view = self.framework_view(id);
        let Some(framework) = self.frameworks.remove(id) else { return };
        for task in framework.tasks.values().filter(|task| !super::is_over(task.latest)) {
            self.agents[task.agent].used.subtract(&task.resources);
        }
        for agent in 0..self.agents.len() {
            let keys: Vec<_> = self.agents[agent].executors.keys().filter(|key| key.0 == *id).cloned().collect();
            for key in keys {
                if let Some(executor) = self.agents[agent].executors.get_mut(&key) {
                    executor.tasks.clear();
                    executor.queued.clear();
                }
                self.shut_executor_down(agent, &key);
            }
        }
        if let Some(stream) = framework.stream {
            self.streams.remove(&stream);
            self.effects.push(Effect::Close(stream));
        }
        self.removed.add(id.clone(), view);
    }

    /// Its constraints, or why it may not subscribe.
    fn check_subscription(&self, subscribe: &Subscribe) -> Result<Constraints, String> {
        let info = &subscribe.framework_info;
        if info.id.as_ref().is_some_and(|id| self.removed.contains(id)) {
            return Err("Framework has been removed".into());
        }
        if let Some(error) = framework_error(info) {
            return Err(error);
        }
        let known = info.id.as_ref().and_then(|id| self.frameworks.get(id));
        if known.is_some_and(|known| known.info.principal != info.principal) {
            return Err("Changing framework's principal is not allowed.".into());
        }
        constraints(subscribe)
    }

    /// One subscription per framework: a newer one ends the older.
    fn replace_older_subscription(&mut self, id: &FrameworkId) {
        let Some(old) = self.frameworks.get_mut(id).and_then(|framework| framework.stream.take()) else { return };
        self.void_offers(id);
        self.streams.remove(&old);
        self.effects.push(Effect::Tell(old, error("Framework failed over".into())));
        self.effects.push(Effect::Close(old));
    }

    fn framework_disconnected(&mut self, id: &FrameworkId) {
        self.void_offers(id);
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        framework.stream = None;
        let timeout = Duration::try_from_secs_f64(framework.info.failover_timeout).unwrap_or(Duration::MAX);
        framework.remove_at = Some(self.now.saturating_add(timeout));
        if timeout.is_zero() {
            self.remove_framework(id);
        }
    }

    /// Offers die with the subscription they were made to.
    fn void_offers(&mut self, id: &FrameworkId) {
        let theirs: Vec<OfferId> =
            self.offers.iter().filter(|(_, offer)| offer.framework == *id).map(|(id, _)| id.clone()).collect();
        for offer in theirs {
            self.take_offer(&offer);
        }
        self.inverse_offers.retain(|_, record| record.framework != *id);
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.forget_filters();
        }
    }
}

fn error(message: String) -> Event {
    Event::Error { error: ErrorMessage { message } }
}
