use millstream_mesos_types::scheduler::{Acknowledge, Call, Kill, Reconcile, ReconcileTask, Shutdown};

use crate::{
    event::{Answer, Event, ToAgent},
    trace::say,
    world::World,
};

impl World {
    /// Accepted for processing, which is not done.
    pub(super) fn call_arrives(&mut self, process: u64, stream: u64, call: Call) {
        let open = self.streams.get(&stream).filter(|known| !known.half_open);
        let (epoch, framework) = open.map(|known| (known.epoch, known.framework.clone())).unzip();
        let current = |framework: &String| {
            let known = self.master.as_ref().and_then(|master| master.frameworks.get(framework));
            known.is_some_and(|framework| framework.stream == Some(stream))
        };
        let answer = match &framework {
            None => Answer::Nothing,
            Some(_) if self.epoch() != epoch => Answer::Nothing,
            Some(framework) if current(framework) => Answer::Accepted,
            Some(_) => Answer::Stale,
        };
        let ms = self.latency();
        self.after(ms, Event::CallAnswered { process, stream, answer });
        if answer != Answer::Accepted {
            return;
        }
        let ms = self.rng.below(4);
        let is_accept = matches!(call, Call::Accept { .. });
        let Some(master) = &mut self.master else { return };
        let at = master.processing.arrival(self.now + ms);
        let (epoch, dies) = (master.epoch, is_accept && std::mem::take(&mut master.dies_after_202));
        self.queue.push(at, Event::Processes { epoch, stream, call: Box::new(call) });
        if dies {
            self.count("master dies after its 202");
            self.master_dies();
        }
    }

    pub(super) fn process_call(&mut self, stream: u64, call: Call) {
        let Some(master) = &mut self.master else { return };
        let caller = master.frameworks.iter_mut().find(|(_, framework)| framework.stream == Some(stream));
        let Some((id, framework)) = caller else { return };
        let id = id.clone();
        match call {
            Call::Accept { accept } => self.accept(&id, accept),
            Call::Decline { decline } => {
                let secs = decline.filters.and_then(|filters| filters.refuse_seconds);
                for offer in decline.offer_ids {
                    let taken = self.master.as_mut().and_then(|master| master.offers.remove(&offer.value));
                    if let Some(offer) = taken {
                        self.filter(&id, offer.agent, offer.amounts, secs);
                    }
                }
            }
            Call::Revive { .. } => {
                framework.filters.clear();
                framework.suppressed = false;
            }
            Call::Suppress { .. } => framework.suppressed = true,
            Call::Kill { kill } => self.kill(&id, kill),
            Call::Shutdown { shutdown } => self.shutdown(shutdown),
            Call::Acknowledge { acknowledge } => self.acknowledge(&id, acknowledge),
            Call::Reconcile { reconcile } => self.reconcile(&id, reconcile),
            Call::UpdateFramework { update_framework } => self.framework_updated(&id, &update_framework),
            _ => {}
        }
    }

    fn kill(&mut self, framework: &str, kill: Kill) {
        let id = kill.task_id.value.clone();
        say!(self, "master is asked to kill {id}");
        let known = self.master.as_mut().and_then(|master| master.frameworks.get_mut(framework));
        let Some(task) = known.and_then(|framework| framework.tasks.get_mut(&id)) else {
            let tasks = vec![ReconcileTask { task_id: kill.task_id, agent_id: kill.agent_id }];
            return self.reconcile(framework, Reconcile { tasks });
        };
        if kill.agent_id.is_some_and(|agent| agent.value != task.agent) {
            return;
        }
        // Remembered for an agent that registers again.
        task.killed = true;
        let agent = task.agent.clone();
        self.tell_agent(&agent, ToAgent::Kill { framework: framework.into(), task: id });
    }

    fn shutdown(&mut self, shutdown: Shutdown) {
        let executor = shutdown.executor_id.value;
        say!(self, "master is asked to shut {executor} down");
        let message = ToAgent::Shutdown { executor };
        self.tell_agent(&shutdown.agent_id.value, message);
    }

    fn acknowledge(&mut self, framework: &str, acknowledge: Acknowledge) {
        let (agent, id, uuid) = (acknowledge.agent_id.value, acknowledge.task_id.value, acknowledge.uuid.0);
        let Some(master) = &mut self.master else { return };
        if !master.agents.get(&agent).is_some_and(|agent| agent.connected) {
            return;
        }
        let Some(known) = master.frameworks.get_mut(framework) else { return };
        if let Some(task) = known.tasks.get(&id) {
            match &task.told {
                None => return, // meant for an older master
                Some((state, told)) if *told == uuid && state.is_terminal() => drop(known.tasks.remove(&id)),
                Some(_) => {}
            }
        }
        self.tell_agent(&agent, ToAgent::Acknowledge { task: id, uuid });
    }
}
