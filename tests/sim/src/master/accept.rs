use millstream_mesos_types::{ExecutorInfo, OfferId, OperationKind, TaskInfo, TaskState, scheduler::Accept};

use super::{Filter, Task};
use crate::{amounts::Amounts, event::ToAgent, nemesis::Fault, trace::say, world::World};

/// Mesos' own default.
const REFUSE_SECS: f64 = 5.0;

/// Why a launch is refused.
struct Invalid {
    error: String,
    by_race: bool,
}

impl World {
    pub(super) fn accept(&mut self, framework: &str, accept: Accept) {
        let launches = accept.operations.into_iter().flat_map(|operation| match operation.kind {
            OperationKind::Launch { launch } => launch.task_infos,
            _ => vec![],
        });
        let launches: Vec<TaskInfo> = launches.collect();
        let refuse_secs = accept.filters.and_then(|filters| filters.refuse_seconds);
        for task in &launches {
            let result = self.checks.launch(&task.task_id.value);
            self.hold(result);
        }
        let Some((agent, mut left)) = self.take_offers(framework, &accept.offer_ids) else {
            *self.outcome.faults.entry("offers gone when accepted").or_default() += 1;
            for task in launches {
                let (id, agent) = (task.task_id.value, Some(task.agent_id.value.as_str()));
                self.master_status(framework, &id, agent, TaskState::TaskDropped, "REASON_INVALID_OFFERS");
            }
            return;
        };
        if self.is_on(Fault::AcceptLost) && self.rng.chance(60) {
            // Accepted for processing, and that was all (M4).
            return self.count("ACCEPT without effect");
        }
        // An executor may have ended while the offer was answered, or its own launch may have failed: then it counts
        // again, which no scheduler can know.
        let (mut raced, offer) = (false, accept.offer_ids[0].value.clone());
        for task in launches {
            match self.validate(&agent, &offer, &task, &left) {
                Ok((executor, takes, new_executor)) => {
                    raced |= new_executor && self.checks.is_from_earlier(&executor.executor_id.value, &offer);
                    left = left.minus(&takes);
                    self.launch(framework, &agent, task, executor, new_executor);
                }
                Err(Invalid { error, by_race }) => {
                    if !raced && !by_race {
                        self.violation(format!("I5: launch of {} on {agent} is invalid: {error}", task.task_id));
                    }
                    let id = task.task_id.value;
                    self.master_status(framework, &id, Some(&agent), TaskState::TaskError, "REASON_TASK_INVALID");
                }
            }
        }
        self.filter(framework, agent, left, refuse_secs);
    }

    /// All of them on one agent, or none; either way those that are valid are used up.
    fn take_offers(&mut self, framework: &str, ids: &[OfferId]) -> Option<(String, Amounts)> {
        let mut sum: Option<(String, Amounts)> = None;
        let mut valid = true;
        for id in ids {
            let master = self.master.as_mut()?;
            let theirs = master.offers.get(&id.value).is_some_and(|offer| offer.framework == framework);
            let Some(offer) = theirs.then(|| master.offers.remove(&id.value)).flatten() else {
                valid = false;
                continue;
            };
            match &mut sum {
                None => sum = Some((offer.agent, offer.amounts)),
                Some((agent, amounts)) if *agent == offer.agent => *amounts = amounts.plus(&offer.amounts),
                Some(_) => valid = false,
            }
        }
        sum.filter(|_| valid)
    }

    fn validate(
        &self,
        agent: &str,
        offer: &str,
        task: &TaskInfo,
        left: &Amounts,
    ) -> Result<(ExecutorInfo, Amounts, bool), Invalid> {
        let invalid = |error: String| Invalid { error, by_race: false };
        if task.agent_id.value != agent {
            return Err(invalid(format!("it names agent {}", task.agent_id)));
        }
        let executor = task.executor.clone().ok_or_else(|| invalid("it has no executor".into()))?;
        let known = self.master.as_ref().and_then(|master| master.agents.get(agent));
        let known = known.ok_or_else(|| invalid("no such agent".into()))?;
        let running = known.executors.get(&executor.executor_id.value);
        if running.is_some_and(|(_, info, _)| *info != executor) {
            return Err(invalid("its ExecutorInfo differs from the one that runs".into()));
        }
        let mut takes = Amounts::of(&task.resources);
        let whole = takes.plus(&Amounts::of(&executor.resources));
        if whole.mixes_revocable() {
            return Err(invalid(format!("it mixes revocable resources with others: {whole:?}")));
        }
        if whole.has_revocable() && !self.may_be_revoked(&task.task_id.value) {
            return Err(invalid(format!("its job does not allow revocable resources: {whole:?}")));
        }
        let by_race = running.is_none()
            && left.contains(&takes)
            && self.checks.is_from_earlier(&executor.executor_id.value, offer);
        if running.is_none() {
            takes = takes.plus(&Amounts::of(&executor.resources));
        }
        if !left.contains(&takes) {
            return Err(Invalid { error: format!("it takes {takes:?} of {left:?}"), by_race });
        }
        Ok((executor, takes, running.is_none()))
    }

    fn may_be_revoked(&self, task: &str) -> bool {
        self.jobs.iter().any(|job| job.revocable && task.starts_with(&format!("{}.", job.name)))
    }

    fn launch(&mut self, framework: &str, agent: &str, task: TaskInfo, executor: ExecutorInfo, new_executor: bool) {
        let (id, executor_id) = (task.task_id.value.clone(), executor.executor_id.value.clone());
        let Some(master) = &mut self.master else { return };
        let (Some(known), Some(record)) = (master.frameworks.get_mut(framework), master.agents.get_mut(agent)) else {
            return;
        };
        let takes = Amounts::of(&task.resources);
        if new_executor {
            let overhead = Amounts::of(&executor.resources);
            record.executors.insert(executor_id, (framework.to_owned(), executor, overhead));
        }
        let fresh = Task { agent: agent.to_owned(), takes, state: TaskState::TaskStaging, told: None, killed: false };
        known.tasks.insert(id.clone(), fresh);
        say!(self, "master launches {id} on {agent}");
        self.tell_agent(agent, ToAgent::Launch { framework: framework.into(), task: Box::new(task), new_executor });
    }

    /// What is left of offers is not offered again for a while.
    pub(super) fn filter(&mut self, framework: &str, agent: String, refused: Amounts, refuse_secs: Option<f64>) {
        let until = self.now + (refuse_secs.unwrap_or(REFUSE_SECS) * 1_000.0) as u64;
        if let Some(known) = self.master.as_mut().and_then(|master| master.frameworks.get_mut(framework)) {
            known.filters.push(Filter { agent, until, refused });
        }
    }
}
