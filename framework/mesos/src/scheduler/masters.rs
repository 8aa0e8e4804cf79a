//! Finds the leader among the masters and subscribes there.

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode, header, header::HeaderValue};

use super::{Config, DisconnectReason, location};
use crate::connection::{Connection, Records, error_text};

/// The path of every call.
pub(super) const PATH: &str = "/api/v1/scheduler";

/// Header that ties a call to an event stream.
pub(super) const STREAM_ID: &str = "Mesos-Stream-Id";

/// Redirects followed in a row: one leads to the leader, more are masters that disagree during an election.
const MAX_REDIRECTS: usize = 4;

/// An event stream that has just been opened.
pub(super) struct Opened {
    pub(super) master: String,
    pub(super) stream_id: Option<HeaderValue>,
    pub(super) records: Records,
}

/// The masters, the one to try first in front.
pub(super) struct Masters<'a> {
    config: &'a Config,
    headers: HeaderMap,
    /// Who led last; may be one that is not in the list.
    leader: Option<String>,
}

impl<'a> Masters<'a> {
    pub(super) fn new(config: &'a Config) -> Self {
        Self { config, headers: config.headers(), leader: None }
    }

    /// Asks each master once, the last leader first, until one accepts. The error is the most telling one.
    pub(super) async fn subscribe(&mut self, body: &Bytes) -> Result<Opened, DisconnectReason> {
        let others = self.config.masters.iter().filter(|master| Some(*master) != self.leader.as_ref()).cloned();
        let candidates: Vec<String> = self.leader.iter().cloned().chain(others).collect();
        let mut worst = DisconnectReason::NoMasters;
        for master in candidates {
            match self.follow(master, body).await {
                Ok(opened) => {
                    self.leader = Some(opened.master.clone());
                    return Ok(opened);
                }
                Err(reason) => worst = more_telling(worst, reason),
            }
        }
        self.leader = None;
        Err(worst)
    }

    /// Asks one master and goes where it points.
    async fn follow(&self, mut master: String, body: &Bytes) -> Result<Opened, DisconnectReason> {
        for _ in 0..=MAX_REDIRECTS {
            let unreachable = |error| DisconnectReason::unreachable(&master, &error);
            let timeout = self.config.timings.answer;
            let mut connection = Connection::open(&master, timeout).await.map_err(unreachable)?;
            let answer = connection.post(PATH, &self.headers, body.clone()).await.map_err(unreachable)?;
            match answer.status() {
                StatusCode::OK => {
                    let stream_id = answer.headers().get(STREAM_ID).cloned();
                    return Ok(Opened { master, stream_id, records: connection.records(answer) });
                }
                StatusCode::TEMPORARY_REDIRECT => {
                    let target = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
                    let bad =
                        || DisconnectReason::BadRedirect { master: master.clone(), location: target.map(Into::into) };
                    let next = target.and_then(location::authority).ok_or_else(bad)?.to_owned();
                    tracing::debug!(%master, leader = %next, "redirected");
                    master = next;
                }
                status => {
                    let message = error_text(answer, timeout).await;
                    return Err(DisconnectReason::Refused { master, status: status.as_u16(), message });
                }
            }
        }
        Err(DisconnectReason::TooManyRedirects { master })
    }
}

/// Of several masters' failures: one that answered says more than one that cannot be reached.
fn more_telling(a: DisconnectReason, b: DisconnectReason) -> DisconnectReason {
    let rank = |reason: &DisconnectReason| match reason {
        DisconnectReason::NoMasters => 0,
        DisconnectReason::Unreachable { .. } => 1,
        reason if reason.needs_a_person() => 3,
        _ => 2,
    };
    if rank(&b) >= rank(&a) { b } else { a }
}
