//! How a process is connected: subscribing with back-off, one call at a time, silence noticed.

use millstream_mesos_types::{FrameworkId, scheduler::Call};

use crate::{
    Ms,
    event::{Answer, Event},
    master::HEARTBEAT_MS,
    trace::say,
    world::World,
};

/// As the session's own.
const MISSED_HEARTBEATS: u64 = 5;
const BACKOFF_MIN_MS: Ms = 100;
const BACKOFF_MAX_MS: Ms = 15_000;

/// A call waits so long for its answer.
const ANSWER_MS: Ms = 10_000;

impl World {
    /// Subscribes anew, at once, as the state says.
    pub(super) fn connect(&mut self, id: u64) {
        let Some(at) = self.process(id) else { return };
        let session = self.number();
        let process = &mut self.processes[at];
        (process.session, process.backoff_ms) = (session, 0);
        process.subscribe = process.state.subscribe();
        self.after(1, Event::Subscribe { process: id, session });
    }

    pub(super) fn subscribe(&mut self, id: u64, session: u64) {
        let Some(at) = self.process(id).filter(|at| self.processes[*at].session == session) else { return };
        if self.processes[at].paused {
            return self.after(500, Event::Subscribe { process: id, session });
        }
        if !self.leads(id) {
            // Asked of ZooKeeper before every SUBSCRIBE: one of an old leader would close the stream of the new one, and
            // the old one would kill tasks that it does not know.
            return self.crash(id, "it leads no more");
        }
        // From here on the session waits for a heartbeat, as it does on an open stream.
        (self.processes[at].subscribing, self.processes[at].heard_at) = (true, self.now);
        let subscribe = Box::new(self.processes[at].subscribe.clone());
        let ms = self.latency();
        self.after(ms, Event::SubscribeArrives { process: id, session, subscribe });
    }

    pub(super) fn stream_opened(&mut self, at: usize, stream: u64, framework: &FrameworkId) {
        let process = &mut self.processes[at];
        process.subscribe.framework_info.id = Some(framework.clone());
        (process.subscribed, process.subscribed_at) = (Some(stream), self.now);
        process.subscribing = false;
        process.call_under_way = false;
        process.silent_since.clear();
        process.asked.clear();
    }

    /// The stream or the attempt has ended: again after a pause.
    pub(super) fn retry_session(&mut self, at: usize) {
        let lasted = self.processes[at].subscribed.map_or(0, |_| self.now - self.processes[at].subscribed_at);
        self.drop_stream(at);
        let session = self.number();
        let process = &mut self.processes[at];
        if lasted > BACKOFF_MAX_MS {
            process.backoff_ms = 0;
        }
        process.backoff_ms = (process.backoff_ms * 2).clamp(BACKOFF_MIN_MS, BACKOFF_MAX_MS / 2);
        (process.session, process.subscribing) = (session, false);
        let (id, pause) = (process.id, process.backoff_ms);
        let jitter = self.rng.below(pause);
        self.after(pause + jitter, Event::Subscribe { process: id, session });
    }

    /// The process' end of the connection is closed.
    pub(super) fn drop_stream(&mut self, at: usize) {
        if let Some(stream) = self.processes[at].subscribed.take()
            && let Some(known) = self.streams.remove(&stream)
        {
            let ms = self.latency();
            if !known.half_open {
                self.after(ms, Event::StreamGone { epoch: known.epoch, stream });
            }
        }
    }

    pub(super) fn notice_silence(&mut self, at: usize) {
        let process = &self.processes[at];
        let patience = HEARTBEAT_MS * MISSED_HEARTBEATS;
        if (process.subscribed.is_some() || process.subscribing) && self.now > process.heard_at + patience {
            say!(self, "scheduler {} hears no heartbeat", process.id);
            let session = process.session;
            self.processes[at].inbox.push_front(super::In::Ends(session));
        }
    }

    /// Sends the next call, if none is under way.
    pub(super) fn send_calls(&mut self, id: u64) {
        let Some(at) = self.process(id) else { return };
        if self.processes[at].call_under_way {
            return;
        }
        while let Some((stream, call)) = self.processes[at].calls.pop_front() {
            let dies = self.processes[at].crash_after_calls.as_mut().is_some_and(|left| {
                *left = left.saturating_sub(1);
                *left == 0
            });
            if self.processes[at].subscribed != Some(stream) {
                // Made for a stream that has ended.
                if dies {
                    return self.crash_planned(id);
                }
                continue;
            }
            if let Call::UpdateFramework { update_framework } = &call {
                let known = self.processes[at].subscribe.framework_info.id.clone();
                self.processes[at].subscribe = update_framework.clone();
                self.processes[at].subscribe.framework_info.id = known;
            }
            self.processes[at].call_under_way = true;
            self.check_call(at, &call);
            let half_open = self.streams.get(&stream).is_none_or(|known| known.half_open);
            let ms = self.latency();
            if half_open {
                self.after(ANSWER_MS, Event::CallAnswered { process: id, stream, answer: Answer::Nothing });
            } else {
                self.after(ms, Event::CallArrives { process: id, stream, call: Box::new(call) });
            }
            if dies {
                self.crash_planned(id);
            }
            return;
        }
    }

    pub(super) fn call_answered(&mut self, id: u64, stream: u64, answer: Answer) {
        let Some(at) = self.process(id) else { return };
        if self.processes[at].subscribed != Some(stream) {
            return;
        }
        if self.processes[at].paused {
            return self.after(500, Event::CallAnswered { process: id, stream, answer });
        }
        self.processes[at].call_under_way = false;
        match answer {
            Answer::Accepted => self.send_calls(id),
            Answer::Stale => {
                say!(self, "scheduler {id}: its stream is stale");
                let session = self.processes[at].session;
                self.deliver(id, super::In::Ends(session));
            }
            Answer::Nothing => {
                say!(self, "scheduler {id}: a call got no answer");
                self.deliver(id, super::In::Broken(stream));
            }
        }
    }
}
