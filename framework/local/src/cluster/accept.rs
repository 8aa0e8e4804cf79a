use std::collections::{BTreeSet, VecDeque};

use millstream_mesos_types::{
    AllocationInfo, ExecutorInfo, FrameworkId, OperationKind, TaskInfo, TaskState, executor, scheduler::Accept,
};

use super::{
    AgentIndex, Amounts, Cluster, ContainerId, Effect, ExecutorKey, Start,
    model::{Executor, OfferRecord, Phase, Task},
};

/// Longest id, as in Mesos.
const MAX_ID_CHARS: usize = 255;

impl Cluster {
    /// ACCEPT: launches on the sum of the offers, the rest counts as declined.
    pub(super) fn accept(&mut self, id: &FrameworkId, accept: Accept) {
        let refuse_secs = accept.filters.and_then(|filters| filters.refuse_seconds);
        let launches: Vec<TaskInfo> = accept
            .operations
            .into_iter()
            .flat_map(|operation| match operation.kind {
                OperationKind::Launch { launch } => launch.task_infos,
                _ => vec![],
            })
            .collect();
        let mut total = match self.take_offers(id, &accept.offer_ids) {
            Ok(total) => total,
            Err(message) => {
                let aware = self.frameworks.get(id).is_some_and(|framework| framework.is_partition_aware());
                let state = if aware { TaskState::TaskDropped } else { TaskState::TaskLost };
                for task in launches {
                    self.master_status(id, &task, state, "REASON_INVALID_OFFERS", &message);
                }
                return;
            }
        };
        for task in launches {
            match self.validate(id, &task, &total) {
                Ok((takes, info)) => {
                    total.resources.subtract(&takes.together());
                    self.launch(id, task, &total, takes, info);
                }
                Err(message) => self.master_status(id, &task, TaskState::TaskError, "REASON_TASK_INVALID", &message),
            }
        }
        self.filter(id, total, refuse_secs);
    }

    /// All of them, or none with the reason; either way the valid ones are used up.
    fn take_offers(
        &mut self,
        id: &FrameworkId,
        offers: &[millstream_mesos_types::OfferId],
    ) -> Result<OfferRecord, String> {
        let mut error = offers.is_empty().then(|| "No offers specified".to_owned());
        let mut sum: Option<OfferRecord> = None;
        let mut seen = BTreeSet::new();
        for offer_id in offers {
            if !seen.insert(offer_id) {
                error.get_or_insert(format!("Duplicate offer {offer_id} in offer list"));
                continue;
            }
            let valid = self.offers.get(offer_id).is_some_and(|offer| offer.framework == *id);
            let Some(offer) = (if valid { self.take_offer(offer_id) } else { None }) else {
                error.get_or_insert(format!("Offer {offer_id} is no longer valid"));
                continue;
            };
            match &mut sum {
                None => sum = Some(offer),
                Some(sum) if sum.agent == offer.agent && sum.role == offer.role => sum.resources.add(&offer.resources),
                Some(_) => {
                    error.get_or_insert("Aggregated offers must belong to one single agent and role".to_owned());
                }
            }
        }
        match (error, sum) {
            (None, Some(sum)) => Ok(sum),
            (error, _) => Err(error.unwrap_or_default()),
        }
    }

    /// What the task takes, and its executor as it will be compared with others; or why it cannot be launched.
    fn validate(
        &self,
        id: &FrameworkId,
        task: &TaskInfo,
        offer: &OfferRecord,
    ) -> Result<(Takes, ExecutorInfo), String> {
        let agent = &self.agents[offer.agent];
        check_id("TaskID", &task.task_id.value)?;
        if task.agent_id != agent.id {
            return Err(format!("Task uses invalid agent {} while agent {} is expected", task.agent_id, agent.id));
        }
        let framework = self.frameworks.get(id).ok_or("Framework cannot be found")?;
        if framework.tasks.contains_key(&task.task_id) {
            return Err(format!("Task has duplicate ID: {}", task.task_id));
        }
        let executor = task.executor.as_ref().ok_or("Task has no executor: command tasks are not supported here")?;
        check_id("ExecutorID", &executor.executor_id.value)?;
        if executor.framework_id.as_ref().is_some_and(|other| other != id) {
            return Err("ExecutorInfo has an invalid FrameworkID".into());
        }
        if executor.command.is_none() {
            return Err("'ExecutorInfo.command' must be set for 'CUSTOM' executor".into());
        }
        let info = normal(executor, id, &offer.role);
        let running = agent.executors.get(&(id.clone(), executor.executor_id.clone()));
        if let Some(running) = running
            && running.info != info
        {
            return Err("Task has an ExecutorInfo that is not compatible with the existing one of the same ID".into());
        }
        let count = |resources| Amounts::of(resources).map_err(|error| format!("Task uses invalid resources: {error}"));
        let takes = Takes {
            task: count(&task.resources)?,
            executor: if running.is_some() { None } else { Some(count(&info.resources)?) },
        };
        if takes.task.is_empty() {
            return Err("Task uses no resources".into());
        }
        let together = takes.together();
        if !offer.resources.contains(&together) {
            let (needed, offered) = (together.to_json(), offer.resources.to_json());
            return Err(format!("Task and its executor use more resources {needed} than available {offered}"));
        }
        Ok((takes, info))
    }

    fn launch(&mut self, id: &FrameworkId, task: TaskInfo, offer: &OfferRecord, takes: Takes, info: ExecutorInfo) {
        let (agent, key) = (offer.agent, (id.clone(), info.executor_id.clone()));
        let record = Task {
            info: task.clone(),
            agent,
            executor_id: info.executor_id.clone(),
            role: offer.role.clone(),
            resources: takes.task.clone(),
            latest: TaskState::TaskStaging,
            told: TaskState::TaskStaging,
            statuses: vec![],
            updates: VecDeque::new(),
            uuids: BTreeSet::new(),
            retry_at: self.now,
            retry_pause: self.settings.update_retry_min,
            force_at: None,
        };
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.tasks.insert(task.task_id.clone(), record);
        }
        self.agents[agent].used.add(&takes.task);
        if let Some(resources) = takes.executor {
            self.start_executor(agent, &key, info, &offer.role, resources);
        }
        let Some(executor) = self.agents[agent].executors.get_mut(&key) else { return };
        executor.tasks.insert(task.task_id.clone());
        match (executor.phase, executor.stream) {
            (Phase::Terminating { .. } | Phase::Destroyed, _) => {
                let message = "the executor is terminating";
                let aware = self.frameworks.get(id).is_some_and(|framework| framework.is_partition_aware());
                let state = if aware { TaskState::TaskDropped } else { TaskState::TaskLost };
                self.agent_update(id, &task.task_id, state, "REASON_EXECUTOR_TERMINATED", message);
            }
            (Phase::Running, Some(_)) => {
                self.tell_executor(agent, &key, executor::Event::Launch { launch: executor::Launch { task } });
            }
            _ => executor.queued.push(task),
        }
    }

    fn start_executor(
        &mut self,
        agent: AgentIndex,
        key: &ExecutorKey,
        info: ExecutorInfo,
        role: &str,
        resources: Amounts,
    ) {
        let Some(framework) = self.frameworks.get(&key.0).map(|framework| framework.info.clone()) else { return };
        let container = ContainerId(self.new_id("C"));
        self.agents[agent].used.add(&resources);
        let executor = Executor {
            info: info.clone(),
            role: role.to_owned(),
            resources,
            container: container.clone(),
            pid: None,
            phase: Phase::Registering { until: self.now + self.settings.registration_timeout },
            stream: None,
            queued: vec![],
            tasks: BTreeSet::new(),
            ending: None,
        };
        let shutdown_grace = self.shutdown_grace(&info);
        self.agents[agent].executors.insert(key.clone(), executor);
        self.containers.insert(container.clone(), (agent, key.clone()));
        let agent_id = self.agents[agent].id.clone();
        let start = Start { agent, agent_id, container, framework, executor: info, shutdown_grace };
        self.effects.push(Effect::Start(Box::new(start)));
    }
}

/// What a launch takes from an offer.
struct Takes {
    task: Amounts,
    /// Of an executor that does not run yet.
    executor: Option<Amounts>,
}

impl Takes {
    fn together(&self) -> Amounts {
        let mut sum = self.task.clone();
        if let Some(executor) = &self.executor {
            sum.add(executor);
        }
        sum
    }
}

/// As Mesos keeps it: with framework id and allocation filled in.
fn normal(executor: &ExecutorInfo, id: &FrameworkId, role: &str) -> ExecutorInfo {
    let mut info = executor.clone();
    info.framework_id = Some(id.clone());
    for resource in &mut info.resources {
        resource.allocation_info = Some(AllocationInfo { role: role.to_owned() });
    }
    info
}

fn check_id(what: &str, id: &str) -> Result<(), String> {
    let bad_char = |c: char| c == '/' || c == '\\' || c.is_control();
    match id {
        "" => Err(format!("{what} must not be empty")),
        "." | ".." => Err(format!("{what} '{id}' is disallowed")),
        id if id.chars().count() > MAX_ID_CHARS => {
            Err(format!("{what} must not be longer than {MAX_ID_CHARS} characters"))
        }
        id if id.contains(bad_char) => Err(format!("{what} '{id}' contains invalid characters")),
        _ => Ok(()),
    }
}
