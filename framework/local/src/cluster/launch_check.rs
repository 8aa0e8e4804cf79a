//! Whether a task may be launched on what was offered. Source: `src/master/validation.cpp` of 1.11.

use millstream_mesos_types::{AllocationInfo, ExecutorInfo, FrameworkId, Resource, TaskInfo};

use super::{
    Amounts, Cluster,
    accept::check_id,
    model::{Framework, OfferRecord},
    resources::{check_resources, check_revocable, text},
};

/// What a launch takes from an offer.
pub(super) struct Takes {
    pub(super) task: Amounts,
    /// Of an executor that does not run yet.
    pub(super) executor: Option<Amounts>,
}

impl Takes {
    pub(super) fn together(&self) -> Amounts {
        let mut sum = self.task.clone();
        if let Some(executor) = &self.executor {
            sum.add(executor);
        }
        sum
    }
}

impl Cluster {
    /// What the task takes, and its executor as it will be compared with others; or why it cannot be launched.
    pub(super) fn validate(
        &self,
        id: &FrameworkId,
        task: &TaskInfo,
        offer: &OfferRecord,
    ) -> Result<(Takes, ExecutorInfo), String> {
        let framework = self.frameworks.get(id).ok_or("Framework cannot be found")?;
        let agent = &self.agents[offer.agent];
        check_task(task, framework)?;
        if task.agent_id != agent.id {
            return Err(format!("Task uses invalid agent {} while agent {} is expected", task.agent_id, agent.id));
        }
        let amounts = count("Task", &task.resources, &offer.role)?;
        if amounts.is_empty() {
            return Err("Task uses no resources".into());
        }
        let executor = task.executor.as_ref().ok_or("Task has no executor: command tasks are not supported here")?;
        check_executor(executor, id)?;
        let executor_amounts = count("Executor", &executor.resources, &offer.role)?;
        let info = normal(executor, id, &offer.role);
        let running = agent.executors.get(&(id.clone(), executor.executor_id.clone()));
        if running.is_some_and(|running| !same(&running.info, &info)) {
            return Err("ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID".into());
        }
        check_together(&amounts, &executor_amounts)?;
        let executor = if running.is_some() { None } else { Some(executor_amounts) };
        let takes = Takes { task: amounts, executor };
        let together = takes.together();
        if !offer.resources.contains(&together) {
            let (needed, offered) = (text(&together), text(&offer.resources));
            let message = "required by task and its executor is more than available";
            return Err(format!("Total resources {needed} {message} {offered}"));
        }
        Ok((takes, info))
    }
}

fn check_task(task: &TaskInfo, framework: &Framework) -> Result<(), String> {
    check_id("TaskID", &task.task_id.value)?;
    if framework.tasks.contains_key(&task.task_id) {
        return Err(format!("Task has duplicate ID: {}", task.task_id));
    }
    if framework.unreachable.iter().any(|(unreachable, _)| *unreachable == task.task_id) {
        return Err(format!("Task reuses the ID of an unreachable task: {}", task.task_id));
    }
    let grace = task.kill_policy.and_then(|policy| policy.grace_period);
    match grace.is_some_and(|grace| grace.nanoseconds < 0) {
        true => Err("Task's 'kill_policy.grace_period' must be non-negative".into()),
        false => Ok(()),
    }
}

fn check_executor(executor: &ExecutorInfo, id: &FrameworkId) -> Result<(), String> {
    check_id("ExecutorID", &executor.executor_id.value)?;
    if executor.framework_id.as_ref().is_some_and(|other| other != id) {
        return Err("ExecutorInfo has an invalid FrameworkID".into());
    }
    if executor.shutdown_grace_period.is_some_and(|grace| grace.nanoseconds < 0) {
        return Err("ExecutorInfo's 'shutdown_grace_period' must be non-negative".into());
    }
    if executor.kind.as_deref().is_some_and(|kind| kind != "CUSTOM") {
        return Err("'ExecutorInfo.type' must be 'CUSTOM'".into());
    }
    match executor.command {
        None => Err("'ExecutorInfo.command' must be set for 'CUSTOM' executor".into()),
        Some(_) => Ok(()),
    }
}

fn count(whose: &str, resources: &[Resource], role: &str) -> Result<Amounts, String> {
    let other =
        resources.iter().filter_map(|resource| resource.allocation_info.as_ref()).find(|info| info.role != role);
    if let Some(other) = other {
        let message = "The resources have multiple allocation roles";
        let whose = whose.to_lowercase();
        return Err(format!("Invalid {whose} resources: {message} ('{}' and '{role}')", other.role));
    }
    let amounts = Amounts::of(resources).map_err(|error| format!("{whose} uses invalid resources: {error}"))?;
    check_resources(&amounts).map_err(|error| format!("{whose} uses invalid resources: {error}"))?;
    check_revocable(&amounts)
        .map_err(|error| format!("{whose} mixes revocable and non-revocable resources: {error}"))?;
    Ok(amounts)
}

/// A task and its executor, even one that runs already.
fn check_together(task: &Amounts, executor: &Amounts) -> Result<(), String> {
    if task.overlaps(executor) {
        let (task, executor) = (text(task), text(executor));
        return Err(format!(
            "There are overlapping resources in the task resources {task} and executor resources {executor}"
        ));
    }
    let volume = |kind: &super::amounts::Kind| kind.volume.is_some() && executor.kinds().any(|other| other == kind);
    if task.kinds().any(volume) {
        return Err("Task and its executor use duplicate persistence ID".into());
    }
    let mut sum = task.clone();
    sum.add(executor);
    let mixed = "Task and its executor mix revocable and non-revocable resources";
    check_revocable(&sum).map_err(|error| format!("{mixed}: {error}"))
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

/// Byte for byte, but for the order and the splitting of resources.
fn same(running: &ExecutorInfo, new: &ExecutorInfo) -> bool {
    let amounts = |info: &ExecutorInfo| Amounts::of(&info.resources).ok();
    let role = |info: &ExecutorInfo| info.resources.first().and_then(|resource| resource.allocation_info.clone());
    let new_with_its_resources = ExecutorInfo { resources: running.resources.clone(), ..new.clone() };
    *running == new_with_its_resources && amounts(running) == amounts(new) && role(running) == role(new)
}
