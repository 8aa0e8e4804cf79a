//! The executor of the trials: a real process that speaks the executor API and the report protocol, and works on nothing.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::StreamExt as _;
use millstream_mesos::executor::{Environment, Handle, Session, SessionEvent};
use millstream_mesos_types::{TaskId, TaskState, TaskStatus};
use millstream_protocol::{BadRecordCounts, REPORT_INTERVAL_MS, Report, TaskReport, VERSION};

use super::script::{DIE, DIED};

/// In each sandbox: the tasks that run there, one a line.
pub const TASKS: &str = "tasks";

/// Between the agent's work folder and a sandbox: agent, framework, executor, container.
const SANDBOX_DEPTH: usize = 4;

/// For the test to see that it dies before the agent does, so that what follows is part of the next fault.
const DEATH: Duration = Duration::from_millis(200);

/// Longest wait for the agent to take the last updates.
const FLUSH: Duration = Duration::from_secs(1);

/// Makes the program that agents start: this test program, told to be an executor. `test` is the test that calls
/// [`act`].
pub fn program(folder: &Path, test: &str) -> PathBuf {
    let this = std::env::current_exe().expect("a test has a program");
    let script = format!("#!/bin/sh\nexec '{}' {test} --exact --ignored --nocapture\n", this.display());
    let path = folder.join("executor");
    std::fs::write(&path, script).expect("a temporary folder");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("just written");
    path
}

/// Is an executor until it is told to end.
pub async fn act() {
    let environment = Environment::from_process().expect("started by an agent");
    let sandbox = environment.sandbox.clone();
    die_if_told(&sandbox).await;
    let (mut events, handle) = Session::connect(environment);
    let mut running = Running { sandbox, handle, tasks: vec![], reports: 0 };
    let mut interval = tokio::time::interval(Duration::from_millis(REPORT_INTERVAL_MS));
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(SessionEvent::Launch(task)) => running.start(task.task_id),
                Some(SessionEvent::Kill(kill)) => running.end(&kill.task_id),
                Some(SessionEvent::Shutdown) => return running.leave().await,
                Some(SessionEvent::Over { .. }) | None => return,
                Some(SessionEvent::Subscribed(_) | SessionEvent::Message(_) | SessionEvent::Disconnected { .. }) => {}
            },
            _ = interval.tick() => {
                die_if_told(&running.sandbox).await;
                running.report();
            }
        }
    }
}

async fn die_if_told(sandbox: &Path) {
    let folder = sandbox.ancestors().nth(SANDBOX_DEPTH).expect("a sandbox lies that deep");
    // Only one of them gets it.
    if std::fs::rename(folder.join(DIE), folder.join(DIED)).is_ok() {
        tokio::time::sleep(DEATH).await;
        std::process::exit(1);
    }
}

struct Running {
    sandbox: PathBuf,
    handle: Handle,
    tasks: Vec<TaskId>,
    reports: u64,
}

impl Running {
    fn start(&mut self, task: TaskId) {
        self.handle.update(status(&task, TaskState::TaskRunning));
        self.tasks.push(task);
        self.write();
    }

    fn end(&mut self, task: &TaskId) {
        if self.tasks.contains(task) {
            self.tasks.retain(|other| other != task);
            self.write();
            self.handle.update(status(task, TaskState::TaskKilled));
        }
    }

    async fn leave(mut self) {
        for task in self.tasks.clone() {
            self.end(&task);
        }
        // The agent may be gone already.
        let _ = tokio::time::timeout(FLUSH, self.handle.flush()).await;
    }

    fn report(&mut self) {
        let tasks = self.tasks.iter().map(task_report).collect();
        let metrics_url = "http://127.0.0.1:1".into();
        let report = Report { version: VERSION, sequence: self.reports, metrics_url, tasks };
        self.reports += 1;
        let json = serde_json::to_vec(&report).expect("a report is representable in JSON");
        // As good as a lost one.
        let _ = self.handle.message(json);
    }

    /// What the oracle believes: not what the master thinks, but what runs.
    fn write(&self) {
        let lines: Vec<_> = self.tasks.iter().map(|task| format!("{task}\n")).collect();
        std::fs::write(self.sandbox.join("tasks.new"), lines.concat()).expect("the sandbox is writable");
        std::fs::rename(self.sandbox.join("tasks.new"), self.sandbox.join(TASKS)).expect("just written");
    }
}

fn task_report(task: &TaskId) -> TaskReport {
    TaskReport {
        task_id: task.value.clone(),
        partitions: vec![],
        records: 0,
        rows: 0,
        bytes_in: 0,
        bytes_in_by_tier: vec![],
        bytes_out: 0,
        bad_records: BadRecordCounts::default(),
        stage_busy_secs: vec![],
    }
}

fn status(task: &TaskId, state: TaskState) -> TaskStatus {
    TaskStatus {
        task_id: task.clone(),
        state,
        message: None,
        source: None,
        reason: None,
        data: None,
        agent_id: None,
        executor_id: None,
        timestamp: None,
        uuid: None,
    }
}
