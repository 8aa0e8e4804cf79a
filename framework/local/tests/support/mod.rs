//! A scheduler to drive the cluster with, and the executor that this test program itself is when the cluster starts it.

#![allow(unreachable_pub)] // a module of a test program

use std::{collections::VecDeque, path::PathBuf, time::Duration};

use futures_util::StreamExt as _;
use millstream_local::{Local, LocalOptions};
use millstream_mesos::{
    executor,
    scheduler::{Caller, Config, Events, Session, SessionEvent},
};
use millstream_mesos_types::{
    Base64, Capability, CommandInfo, DurationInfo, Environment, ExecutorId, ExecutorInfo, Filters, FrameworkId,
    FrameworkInfo, KillPolicy, Offer, Operation, OperationStatus, Resource, TaskId, TaskInfo, TaskState, TaskStatus,
    Variable,
    scheduler::{Accept, Acknowledge, AcknowledgeOperationStatus, Call, Event, Kill, Subscribe, UpdateOperationStatus},
};

/// Longest wait for anything: far beyond what is needed on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster on any free ports with short timers.
pub async fn start(agents: usize, work_dir: &std::path::Path) -> Local {
    start_with(agents, work_dir, |_| {}).await
}

pub async fn start_with(agents: usize, work_dir: &std::path::Path, change: impl FnOnce(&mut LocalOptions)) -> Local {
    let mut options = LocalOptions { agents, port: 0, agent_port: 0, ..LocalOptions::new(work_dir) };
    options.allocation_interval = Duration::from_millis(20);
    change(&mut options);
    Local::start(options).await.unwrap()
}

pub struct Scheduler {
    pub id: FrameworkId,
    pub caller: Caller,
    events: Events,
    /// Seen while something else was waited for.
    seen: VecDeque<Event>,
    /// Not asked for yet.
    offers: Vec<Offer>,
}

impl Scheduler {
    pub async fn connect(master: &str, id: Option<FrameworkId>) -> Self {
        let subscribe = Subscribe { framework_info: framework(id), ..Subscribe::default() };
        let mut config = Config::read(&[master], None).expect("a master");
        config.timings.backoff_min = Duration::from_millis(50);
        config.timings.backoff_max = Duration::from_millis(200);
        let (mut events, caller) = Session::connect(config, subscribe);
        match tokio::time::timeout(PATIENCE, events.next()).await.expect("subscribed in time") {
            Some(SessionEvent::Subscribed { subscribed, .. }) => {
                Self { id: subscribed.framework_id, caller, events, seen: VecDeque::new(), offers: vec![] }
            }
            other => panic!("{other:?}"),
        }
    }

    /// As it subscribed, with its id.
    pub fn subscribe(&self) -> Subscribe {
        Subscribe { framework_info: framework(Some(self.id.clone())), ..Subscribe::default() }
    }

    /// Waits for the first event that `pick` takes; others are kept for later.
    pub async fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        if let Some(found) = self.seen.iter().position(|event| pick(event).is_some()) {
            let event = self.seen.remove(found).unwrap();
            return pick(&event).unwrap();
        }
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                match self.events.next().await.expect("the session lives") {
                    SessionEvent::Event(event) => match pick(&event) {
                        Some(found) => return found,
                        None => self.seen.push_back(event),
                    },
                    other => panic!("waiting for {what}: {other:?}"),
                }
            }
        });
        match waited.await {
            Ok(found) => found,
            Err(_) => panic!("no {what} in time; seen: {:?}", self.seen),
        }
    }

    /// The next session event, whatever it is, after those that were seen.
    pub async fn next(&mut self) -> Option<SessionEvent> {
        tokio::time::timeout(PATIENCE, self.events.next()).await.expect("an event in time")
    }

    /// An offer of the agent, from 0.
    pub async fn offer(&mut self, agent: usize) -> Offer {
        let hostname = format!("127.0.1.{}", agent + 1);
        loop {
            if let Some(found) = self.offers.iter().position(|offer| offer.hostname == hostname) {
                return self.offers.remove(found);
            }
            let more = self.wait("offer", |event| match event {
                Event::Offers { offers } => Some(offers.offers.clone()),
                _ => None,
            });
            let more = more.await;
            self.offers.extend(more);
        }
    }

    /// The next status of the task, acknowledged when it must be.
    pub async fn update(&mut self, task: &str) -> TaskStatus {
        let status = self.unacknowledged_update(task).await;
        self.acknowledge(&status).await;
        status
    }

    pub async fn unacknowledged_update(&mut self, task: &str) -> TaskStatus {
        self.wait(&format!("update of {task}"), |event| match event {
            Event::Update { update } if update.status.task_id.value == task => Some(update.status.clone()),
            _ => None,
        })
        .await
    }

    pub async fn acknowledge(&self, status: &TaskStatus) {
        let (Some(uuid), Some(agent_id)) = (status.uuid.clone(), status.agent_id.clone()) else { return };
        let acknowledge = Acknowledge { agent_id, task_id: status.task_id.clone(), uuid };
        self.caller.send(Call::Acknowledge { acknowledge }).await.unwrap();
    }

    /// ACCEPT with anything; what is left comes again at once.
    pub async fn accept(&self, offer: &Offer, operations: Vec<Operation>) {
        let filters = Some(Filters { refuse_seconds: Some(0.0) });
        let accept = Accept { offer_ids: vec![offer.id.clone()], operations, filters };
        self.caller.send(Call::Accept { accept }).await.unwrap();
    }

    /// If there is something to acknowledge.
    pub async fn acknowledge_operation(&self, status: OperationStatus) {
        let (Some(uuid), Some(operation_id)) = (status.uuid, status.operation_id) else { return };
        let acknowledge_operation_status =
            AcknowledgeOperationStatus { agent_id: status.agent_id, uuid: uuid.value, operation_id };
        self.caller.send(Call::AcknowledgeOperationStatus { acknowledge_operation_status }).await.unwrap();
    }

    /// The next outcome of that operation.
    pub async fn outcome(&mut self, id: &str) -> OperationStatus {
        let pick = |event: &Event| match event {
            Event::UpdateOperationStatus { update_operation_status: UpdateOperationStatus { status } } => {
                status.operation_id.as_ref().is_some_and(|known| known.value == id).then(|| status.clone())
            }
            _ => None,
        };
        self.wait(id, pick).await
    }

    pub async fn launch(&self, offer: &Offer, tasks: Vec<TaskInfo>) {
        let accept =
            Accept { offer_ids: vec![offer.id.clone()], operations: vec![Operation::launch(tasks)], filters: None };
        self.caller.send(Call::Accept { accept }).await.unwrap();
    }

    pub async fn kill(&self, task: &str, grace: Option<Duration>) {
        let grace_period = grace.map(|grace| DurationInfo { nanoseconds: grace.as_nanos() as i64 });
        let kill_policy = grace.map(|_| KillPolicy { grace_period });
        let kill = Kill { task_id: TaskId::new(task), agent_id: None, kill_policy };
        self.caller.send(Call::Kill { kill }).await.unwrap();
    }

    /// Launches a task on the agent and waits until it runs. An offer may have been rescinded meanwhile, a drain ends a
    /// moment after its last executor, and an executor a moment after its last task.
    pub async fn run(&mut self, agent: usize, id: &str, behaviour: &str) -> Offer {
        loop {
            let offer = self.offer(agent).await;
            self.launch(&offer, vec![task(&offer, id, behaviour)]).await;
            let update = self.update(id).await;
            let passing = ["REASON_INVALID_OFFERS", "REASON_AGENT_DRAINING", "REASON_EXECUTOR_TERMINATED"];
            if !update.reason.as_deref().is_some_and(|reason| passing.contains(&reason)) {
                assert_eq!(update.state, TaskState::TaskRunning, "{update:?}");
                return offer;
            }
        }
    }
}

fn framework(id: Option<FrameworkId>) -> FrameworkInfo {
    let capability = |kind: &str| Capability { kind: kind.into() };
    FrameworkInfo {
        user: "root".into(),
        name: "test".into(),
        id,
        failover_timeout: 60.0,
        checkpoint: true,
        roles: vec!["test".into()],
        capabilities: ["MULTI_ROLE", "PARTITION_AWARE", "RESERVATION_REFINEMENT"].map(capability).to_vec(),
        ..FrameworkInfo::default()
    }
}

/// A task for the executor below; what it does is its data.
pub fn task(offer: &Offer, id: &str, behaviour: &str) -> TaskInfo {
    TaskInfo {
        name: id.into(),
        task_id: TaskId::new(id),
        agent_id: offer.agent_id.clone(),
        resources: vec![Resource::scalar("cpus", 0.1, None), Resource::scalar("mem", 32.0, None)],
        executor: Some(executor_info()),
        data: Some(Base64(behaviour.into())),
        kill_policy: None,
    }
}

/// This test program, run as an executor.
pub fn executor_info() -> ExecutorInfo {
    let program = std::env::current_exe().unwrap().display().to_string();
    let arguments = ["executor", "acts_as_executor", "--exact", "--ignored", "--nocapture"];
    let variable = Variable { name: "SAID".into(), value: Some("by the command".into()) };
    ExecutorInfo {
        kind: Some("CUSTOM".into()),
        executor_id: ExecutorId::new("e"),
        framework_id: None,
        command: Some(CommandInfo {
            value: Some(program),
            shell: Some(false),
            arguments: arguments.map(String::from).to_vec(),
            environment: Some(Environment { variables: vec![variable] }),
            ..CommandInfo::default()
        }),
        resources: vec![Resource::scalar("cpus", 0.1, None), Resource::scalar("mem", 32.0, None)],
        name: None,
        data: None,
        shutdown_grace_period: Some(DurationInfo { nanoseconds: 2_000_000_000 }),
    }
}

/// The executor. A task's data says what it does: `run` until it is killed, `finish` at once, `hang` whatever is asked,
/// `child` leaves a process behind and runs. Messages are sent back.
pub async fn act_as_executor() {
    let environment = executor::Environment::from_process().unwrap();
    assert_eq!(std::env::current_dir().unwrap(), environment.sandbox);
    assert_eq!(std::env::var("SAID").unwrap(), "by the command");
    let (mut events, handle) = executor::Session::connect(environment);
    let status = |task: &TaskId, state| TaskStatus {
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
    };
    let mut running: Vec<(TaskId, String)> = vec![];
    while let Some(event) = events.next().await {
        match event {
            executor::SessionEvent::Launch(task) => {
                let behaviour = String::from_utf8(task.data.unwrap_or_default().0).unwrap();
                if behaviour == "child" {
                    #[allow(clippy::zombie_processes)] // it is meant to be left behind
                    let child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
                    std::fs::write("child.pid", child.id().to_string()).unwrap();
                }
                handle.update(status(&task.task_id, TaskState::TaskRunning));
                if behaviour == "finish" {
                    handle.update(status(&task.task_id, TaskState::TaskFinished));
                } else {
                    running.push((task.task_id, behaviour));
                }
            }
            executor::SessionEvent::Kill(kill)
                if running.iter().any(|(task, behaviour)| *task == kill.task_id && behaviour != "hang") =>
            {
                running.retain(|(task, _)| *task != kill.task_id);
                handle.update(status(&kill.task_id, TaskState::TaskKilled));
            }
            executor::SessionEvent::Message(data) => handle.message(data).unwrap(),
            executor::SessionEvent::Shutdown if running.iter().any(|(_, behaviour)| behaviour == "hang") => {}
            executor::SessionEvent::Shutdown => {
                for (task, _) in running.drain(..) {
                    handle.update(status(&task, TaskState::TaskKilled));
                }
                let _ = tokio::time::timeout(Duration::from_secs(1), handle.flush()).await;
                std::process::exit(0);
            }
            executor::SessionEvent::Over { .. } => std::process::exit(1),
            _ => {}
        }
    }
}

pub async fn get(url: &str) -> serde_json::Value {
    let (head, body) = http("GET", url, "").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{url}: {head}");
    serde_json::from_str(&body).unwrap()
}

/// Status and body.
pub async fn post(url: &str, body: serde_json::Value) -> (u16, String) {
    let (head, body) = http("POST", url, &body.to_string()).await;
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
}

async fn http(method: &str, url: &str, body: &str) -> (String, String) {
    use std::io::{Read as _, Write as _};
    let (authority, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let headers = format!("Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close", body.len());
    let request = format!("{method} /{path} HTTP/1.1\r\nHost: {authority}\r\n{headers}\r\n\r\n{body}");
    let authority = authority.to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        let mut socket = std::net::TcpStream::connect(authority).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// The process runs, or is at least there (a zombie is not).
pub fn lives(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

pub async fn gone(pid: i64) -> bool {
    for _ in 0..400 {
        if !lives(pid) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

/// The first file of that name somewhere below.
pub fn find(dir: &std::path::Path, name: &str) -> Option<PathBuf> {
    let entries: Vec<_> = std::fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path()).collect();
    let here = entries.iter().find(|path| path.file_name().is_some_and(|file| file == name)).cloned();
    here.or_else(|| entries.iter().filter(|path| path.is_dir()).find_map(|path| find(path, name)))
}
