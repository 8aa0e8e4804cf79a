use millstream_mesos_types::{
    FrameworkId, FrameworkInfo, OfferId, RoleConstraints,
    scheduler::{ErrorMessage, Event as MesosEvent, Rescind, Subscribe, Subscribed},
};

use super::{Framework, HEARTBEAT_MS};
use crate::{
    amounts::ROLE,
    event::{Event, ToAgent},
    scheduler::Stream,
    trace::say,
    world::{Ordered, World},
};

impl World {
    pub(super) fn subscribe_arrives(&mut self, process: u64, session: u64, subscribe: Subscribe) {
        let Some(epoch) = self.epoch() else {
            // 503 of one that waits for the election, or nobody at all.
            let ms = self.latency();
            return self.after(ms, Event::StreamEnds { process, session, stream: None });
        };
        if self.process(process).is_none() {
            return;
        }
        let stream = self.number();
        let known = subscribe.framework_info.id.as_ref().map(|id| id.value.clone());
        let id = match &known {
            Some(id) => id.clone(),
            None => format!("F{}", self.number()),
        };
        let fresh = Stream {
            process,
            session,
            epoch,
            framework: id.clone(),
            cut_at: None,
            half_open: false,
            down: Ordered::default(),
        };
        self.streams.insert(stream, fresh);
        if self.registry.removed_frameworks.contains(&id) {
            return self.end_stream(stream, "Framework has been removed");
        }
        if known.is_none() {
            self.check_new_framework(process);
        }
        let Some(master) = &mut self.master else { return };
        let old = master.frameworks.entry(id.clone()).or_default().stream.replace(stream);
        self.framework_updated(&id, &subscribe);
        if let Some(old) = old {
            // A newer subscription ends the older; its offers are void, its filters stay.
            self.void_offers(&id, false);
            self.end_stream(old, "Framework failed over");
        }
        say!(self, "framework {id} subscribes on stream {stream} of process {process}");
        let heartbeat_interval_seconds = Some(HEARTBEAT_MS as f64 / 1_000.0);
        let subscribed = Subscribed { framework_id: FrameworkId::new(&id), heartbeat_interval_seconds };
        self.send(stream, MesosEvent::Subscribed { subscribed });
        self.after(HEARTBEAT_MS, Event::Heartbeat { epoch, stream });
    }

    /// Takes in what SUBSCRIBE or UPDATE_FRAMEWORK says.
    pub(super) fn framework_updated(&mut self, id: &str, subscribe: &Subscribe) {
        let Some(framework) = self.master.as_mut().and_then(|master| master.frameworks.get_mut(id)) else { return };
        framework.suppressed = subscribe.suppressed_roles.iter().any(|role| role == ROLE);
        framework.revocable =
            subscribe.framework_info.capabilities.iter().any(|capability| capability.kind == "REVOCABLE_RESOURCES");
        framework.minimum = minimum(&subscribe.framework_info);
        framework.constraints = constraints(subscribe);
    }

    /// The connection of a framework has gone: its offers are void, its filters forgotten.
    pub(super) fn framework_disconnected(&mut self, stream: u64) {
        let Some(master) = &mut self.master else { return };
        let theirs = master.frameworks.iter_mut().find(|(_, framework)| framework.stream == Some(stream));
        let Some((id, framework)) = theirs else { return };
        let id = id.clone();
        (framework.stream, framework.filters) = (None, vec![]);
        say!(self, "framework {id} is disconnected");
        self.void_offers(&id, false);
    }

    pub(super) fn void_offers(&mut self, framework: &str, rescind: bool) {
        let Some(master) = &mut self.master else { return };
        let theirs = master.offers.iter().filter(|(_, offer)| offer.framework == framework);
        let theirs: Vec<String> = theirs.map(|(id, _)| id.clone()).collect();
        for id in theirs {
            self.take_back(&id, rescind);
        }
    }

    /// An offer is no longer valid.
    pub(crate) fn take_back(&mut self, id: &str, rescind: bool) {
        let Some(offer) = self.master.as_mut().and_then(|master| master.offers.remove(id)) else { return };
        if rescind {
            let rescind = Rescind { offer_id: OfferId::new(id) };
            self.tell_framework(&offer.framework, MesosEvent::Rescind { rescind });
        }
    }

    /// An operator removes the framework: all its executors are shut down.
    pub(crate) fn teardown(&mut self, id: &str) {
        self.void_offers(id, false);
        let Some(framework) = self.master.as_mut().and_then(|master| master.frameworks.remove(id)) else { return };
        self.registry.removed_frameworks.insert(id.to_owned());
        let agents: Vec<String> = self.master.iter().flat_map(|master| master.agents.keys().cloned()).collect();
        for agent in agents {
            self.tell_agent(&agent, ToAgent::FrameworkOver { framework: id.to_owned() });
            if let Some(known) = self.master.as_mut().and_then(|master| master.agents.get_mut(&agent)) {
                known.executors.retain(|_, (framework, ..)| framework != id);
            }
        }
        if let Some(stream) = framework.stream {
            self.end_stream(stream, "Framework has been removed");
        }
    }

    /// ERROR, and the end of the stream.
    fn end_stream(&mut self, stream: u64, message: &str) {
        self.send(stream, MesosEvent::Error { error: ErrorMessage { message: message.into() } });
        let Some(known) = self.streams.get_mut(&stream) else { return };
        let at = known.down.arrival(self.now + 1);
        let (process, session) = (known.process, known.session);
        if !known.half_open {
            self.queue.push(at, Event::StreamEnds { process, session, stream: Some(stream) });
        }
    }
}

fn minimum(info: &FrameworkInfo) -> Vec<(u64, u64)> {
    let filters = info.offer_filters.get(ROLE).and_then(|filters| filters.min_allocatable_resources.as_ref());
    let quantities = filters.into_iter().flat_map(|minimum| &minimum.quantities);
    quantities
        .map(|quantities| {
            let of = |name: &str| quantities.quantities.get(name).map_or(0.0, |scalar| scalar.value);
            ((of("cpus") * 1_000.0).round() as u64, of("mem").round() as u64)
        })
        .collect()
}

fn constraints(subscribe: &Subscribe) -> Option<RoleConstraints> {
    subscribe.offer_constraints.as_ref()?.role_constraints.get(ROLE).cloned()
}

impl Framework {
    /// `min_allocatable_resources` and offer constraints.
    pub(super) fn may_be_offered(
        &self,
        cpus: u64,
        mem: u64,
        attribute: impl Fn(&super::allocator::Named<'_>) -> Option<String>,
    ) -> bool {
        let enough = self.minimum.is_empty() || self.minimum.iter().any(|(c, m)| cpus >= *c && mem >= *m);
        enough && self.constraints.as_ref().is_none_or(|constraints| super::allocator::holds(constraints, attribute))
    }
}
