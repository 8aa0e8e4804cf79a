use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use millstream_mesos::RecordIo;
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio_util::{codec::Encoder as _, sync::CancellationToken};

use super::container;
use crate::cluster::{AgentIndex, Cluster, ContainerId, Effect, Refusal, Start, StreamId};

/// Events that wait for a reader. It must hold the answer to a reconciliation of all tasks of a big framework; a reader
/// that is further behind is disconnected.
const EVENTS_AHEAD: usize = 1 << 17;

/// The cluster behind its lock, and what carries its effects out.
pub(crate) struct Hub {
    state: Mutex<State>,
    begin: Instant,
    work_dir: PathBuf,
    agent_addresses: Vec<String>,
    /// Of `Mesos-Stream-Id`.
    stream_prefix: String,
    /// Cancelled when nothing may run any more.
    abandoned: CancellationToken,
    running: watch::Sender<usize>,
}

struct State {
    cluster: Cluster,
    streams: HashMap<StreamId, mpsc::Sender<Bytes>>,
    last_stream: u64,
    containers: HashMap<ContainerId, CancellationToken>,
}

impl Hub {
    pub(crate) fn new(
        cluster: Cluster,
        work_dir: PathBuf,
        agent_addresses: Vec<String>,
        stream_prefix: String,
        abandoned: CancellationToken,
    ) -> Arc<Self> {
        let state = State { cluster, streams: HashMap::new(), last_stream: 0, containers: HashMap::new() };
        Arc::new(Self {
            state: Mutex::new(state),
            begin: Instant::now(),
            work_dir,
            agent_addresses,
            stream_prefix,
            abandoned,
            running: watch::Sender::new(0),
        })
    }

    /// One input: `work` is given the time, what it causes is carried out before anybody else gets in.
    pub(crate) fn input<T>(self: &Arc<Self>, work: impl FnOnce(&mut Cluster, Duration) -> T) -> T {
        let mut state = self.lock();
        let result = work(&mut state.cluster, self.begin.elapsed());
        self.carry_out(&mut state);
        result
    }

    /// Looks without changing anything.
    pub(crate) fn look<T>(&self, work: impl FnOnce(&Cluster) -> T) -> T {
        work(&self.lock().cluster)
    }

    /// Opens an event stream and lets `work` subscribe with it.
    pub(crate) fn open(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Cluster, Duration, StreamId) -> Result<(), Refusal>,
    ) -> Result<(StreamId, mpsc::Receiver<Bytes>), Refusal> {
        let (sender, receiver) = mpsc::channel(EVENTS_AHEAD);
        let mut state = self.lock();
        state.last_stream += 1;
        let id = StreamId(state.last_stream);
        state.streams.insert(id, sender);
        let result = work(&mut state.cluster, self.begin.elapsed(), id);
        self.carry_out(&mut state);
        if let Err(refusal) = result {
            state.streams.remove(&id);
            return Err(refusal);
        }
        Ok((id, receiver))
    }

    /// The reader of a stream has gone.
    pub(crate) fn closed(self: &Arc<Self>, stream: StreamId) {
        let mut state = self.lock();
        state.streams.remove(&stream);
        state.cluster.stream_closed(self.begin.elapsed(), stream);
        self.carry_out(&mut state);
    }

    /// Ends all streams.
    pub(crate) fn close_all(&self) {
        self.lock().streams.clear();
    }

    /// As `Mesos-Stream-Id` says it.
    pub(crate) fn stream_text(&self, stream: StreamId) -> String {
        format!("{}-{}", self.stream_prefix, stream.0)
    }

    /// What a `Mesos-Stream-Id` means.
    pub(crate) fn stream_of(&self, text: &str) -> Option<StreamId> {
        let number = text.strip_prefix(&self.stream_prefix)?.strip_prefix('-')?;
        number.parse().ok().map(StreamId)
    }

    /// Waits until no executor is left.
    pub(crate) async fn wait_until_idle(&self) {
        // The sender lives in here, so the wait cannot fail.
        let _ = self.running.subscribe().wait_for(|running| *running == 0).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry_out(self: &Arc<Self>, state: &mut State) {
        for effect in state.cluster.take_effects() {
            match effect {
                Effect::Tell(stream, event) => state.send(stream, &event),
                Effect::TellExecutor(stream, event) => state.send(stream, &event),
                Effect::Close(stream) => drop(state.streams.remove(&stream)),
                Effect::Start(start) => self.start(state, *start),
                Effect::Destroy(container) => {
                    if let Some(token) = state.containers.get(&container) {
                        token.cancel();
                    }
                }
            }
        }
    }

    fn start(self: &Arc<Self>, state: &mut State, start: Start) {
        let token = self.abandoned.child_token();
        state.containers.insert(start.container.clone(), token.clone());
        self.running.send_replace(state.containers.len());
        let hub = self.clone();
        let sandbox = self.sandbox(&start);
        let agent_endpoint = self.agent_addresses[start.agent].clone();
        tokio::spawn(async move {
            let id = start.container.clone();
            tracing::info!(executor = %start.executor.executor_id, container = %id.0, sandbox = %sandbox.display(), "executor starts");
            let started = |pid| hub.input(|cluster, now| cluster.container_started(now, &id, pid));
            let ended = container::run(&start, &sandbox, &agent_endpoint, token, started).await;
            let (status, why) = (ended.as_ref().ok(), ended.as_ref().err());
            tracing::info!(executor = %start.executor.executor_id, container = %id.0, status, why, "executor ended");
            let mut state = hub.lock();
            state.containers.remove(&id);
            state.cluster.container_ended(hub.begin.elapsed(), &id, ended);
            hub.carry_out(&mut state);
            hub.running.send_replace(state.containers.len());
        });
    }

    fn sandbox(&self, start: &Start) -> PathBuf {
        let framework = start.framework.id.as_ref().map_or("unknown", |id| &id.value);
        let agent = self.work_dir.join(agent_dir(start.agent));
        agent.join(framework).join(&start.executor.executor_id.value).join(&start.container.0)
    }
}

impl State {
    fn send(&mut self, stream: StreamId, event: &impl Serialize) {
        let Some(sender) = self.streams.get(&stream) else { return };
        let json = serde_json::to_vec(event).expect("an event is representable in JSON");
        let mut record = BytesMut::with_capacity(json.len() + 8);
        let too_long = RecordIo::default().encode(json, &mut record).is_err();
        if too_long || sender.try_send(record.freeze()).is_err() {
            tracing::warn!(stream = stream.0, "reader is too far behind: disconnected");
            self.streams.remove(&stream);
        }
    }
}

fn agent_dir(agent: AgentIndex) -> String {
    format!("agent{}", agent + 1)
}
