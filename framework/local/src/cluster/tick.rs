use std::time::Duration;

use millstream_mesos_types::{FrameworkId, TaskId, TaskState, scheduler::Event};

use super::{
    AgentIndex, Cluster, ExecutorKey,
    model::{Ending, Phase},
};

impl Cluster {
    /// Time has passed: all timers, then an allocation. To be called every allocation interval.
    pub fn tick(&mut self, now: Duration) {
        self.at(now);
        self.heartbeats();
        self.remove_absent_frameworks();
        self.end_restarts();
        self.retry_updates();
        self.retry_operations();
        self.end_overdue_executors();
        self.force_overdue_kills();
        self.check_draining();
        if !self.stopping {
            self.allocate();
            self.offer_inversely();
        }
    }

    fn heartbeats(&mut self) {
        let (now, interval) = (self.now, self.settings.heartbeat);
        let mut due = vec![];
        for (id, framework) in &mut self.frameworks {
            framework.filters.retain(|filter| filter.until > now);
            framework.inverse_filters.retain(|(_, until)| *until > now);
            if framework.stream.is_some() && framework.next_heartbeat <= now {
                framework.next_heartbeat = now + interval;
                due.push(id.clone());
            }
        }
        for id in due {
            self.tell(&id, Event::Heartbeat);
        }
    }

    fn remove_absent_frameworks(&mut self) {
        let now = self.now;
        let absent = self.frameworks.iter().filter(|(_, framework)| framework.remove_at.is_some_and(|at| at <= now));
        for id in absent.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.remove_framework(&id);
        }
    }

    fn retry_updates(&mut self) {
        let now = self.now;
        let mut due: Vec<(FrameworkId, TaskId)> = vec![];
        for (id, framework) in self.frameworks.iter().filter(|(_, framework)| framework.stream.is_some()) {
            let overdue = framework.tasks.iter().filter(|(_, task)| !task.updates.is_empty() && task.retry_at <= now);
            due.extend(overdue.map(|(task, _)| (id.clone(), task.clone())));
        }
        for (id, task) in due {
            self.send_update(&id, &task);
        }
    }

    fn end_overdue_executors(&mut self) {
        let mut overdue: Vec<(AgentIndex, ExecutorKey, Option<Ending>)> = vec![];
        for (agent, key) in self.containers.values() {
            let Some(executor) = self.agents[*agent].executors.get(key) else { continue };
            match executor.phase {
                Phase::Registering { until } if until <= self.now && self.agents[*agent].is_running() => {
                    let ending = Ending {
                        state: TaskState::TaskFailed,
                        reason: "REASON_EXECUTOR_REGISTRATION_TIMEOUT",
                        message: format!("executor did not subscribe within {:?}", self.settings.registration_timeout),
                    };
                    overdue.push((*agent, key.clone(), Some(ending)));
                }
                Phase::Terminating { until } if until <= self.now => overdue.push((*agent, key.clone(), None)),
                _ => {}
            }
        }
        for (agent, key, ending) in overdue {
            self.destroy(agent, &key, ending);
        }
    }

    /// Executors all of whose tasks have outlived the grace of their KILL.
    fn force_overdue_kills(&mut self) {
        let overdue = |(agent, key): &&(AgentIndex, ExecutorKey)| {
            let tasks = self.frameworks.get(&key.0).map(|framework| &framework.tasks);
            let is_overdue = |id: &TaskId| {
                let task = tasks.and_then(|tasks| tasks.get(id));
                task.and_then(|task| task.force_at).is_some_and(|at| at <= self.now)
            };
            let executor = self.agents[*agent].executors.get(key);
            executor.is_some_and(|executor| !executor.tasks.is_empty() && executor.tasks.iter().all(is_overdue))
        };
        for (agent, key) in self.containers.values().filter(overdue).cloned().collect::<Vec<_>>() {
            let message = "the task outlived the grace of its kill policy".to_owned();
            let ending = Ending { state: TaskState::TaskKilled, reason: "REASON_EXECUTOR_TERMINATED", message };
            self.destroy(agent, &key, Some(ending));
        }
    }

    /// When [`Cluster::begin_stop`] has certainly ended all executors by force.
    pub fn longest_shutdown_grace(&self) -> Duration {
        let executors = self.agents.iter().flat_map(|agent| agent.executors.values());
        let graces = executors.map(|executor| self.shutdown_grace(&executor.info));
        graces.max().unwrap_or(self.settings.shutdown_grace)
    }
}
