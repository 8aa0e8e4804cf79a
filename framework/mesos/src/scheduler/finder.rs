//! Finds the leader among the masters and asks it.

use bytes::Bytes;
use hyper::{HeaderMap, Response, StatusCode, body::Incoming, header};

use super::{
    Config, DisconnectReason, MasterUrl, Masters, Scheme, ZooKeeperUrl,
    location::{self, BadLocation},
    zookeeper::{Detection, Detector, Leader},
};
use crate::{
    TransportError,
    connection::{Connection, error_text},
};

/// The path of every call.
pub(super) const PATH: &str = "/api/v1/scheduler";

/// Redirects followed in a row: one leads to the leader, more are masters that disagree during an election.
const MAX_REDIRECTS: usize = 4;

/// What is asked of the leader. All of it may arrive at several masters, none but the leader acts on it.
pub(super) enum Ask<'a> {
    Get(&'a str),
    Post(&'a str, Bytes),
}

/// A leader that said 200.
pub(super) struct Found {
    pub(super) master: MasterUrl,
    pub(super) connection: Connection,
    pub(super) answer: Response<Incoming>,
}

/// Knows where to ask.
pub(super) struct Finder {
    config: Config,
    headers: HeaderMap,
    place: Place,
}

enum Place {
    /// The masters as configured, and who led last, which may be one that is not among them.
    List(Vec<MasterUrl>, Option<MasterUrl>),
    ZooKeeper {
        url: ZooKeeperUrl,
        detector: Detector,
        /// Led when ZooKeeper was last heard of.
        last: Option<Leader>,
        /// The election whose winner was asked last; none if that was a guess that failed.
        asked: Option<String>,
    },
}

impl Finder {
    /// Must be called within a tokio runtime.
    pub(super) fn new(config: Config) -> Self {
        match &config.masters {
            Masters::List(masters) => {
                let place = Place::List(masters.clone(), None);
                Self { headers: config.headers(), config, place }
            }
            Masters::ZooKeeper(url) => {
                let (url, detector) =
                    (url.clone(), Detector::start(url.clone(), config.zookeeper_tls.clone(), config.timings.clone()));
                Self::with_detector(config, url, detector)
            }
        }
    }

    pub(super) fn with_detector(config: Config, url: ZooKeeperUrl, detector: Detector) -> Self {
        let place = Place::ZooKeeper { url, detector, last: None, asked: None };
        Self { headers: config.headers(), config, place }
    }

    /// Asks until one says 200: each master of a list once, the last leader first, or the one that ZooKeeper names. The
    /// error is the most telling one.
    pub(super) async fn ask(&mut self, ask: &Ask<'_>) -> Result<Found, DisconnectReason> {
        loop {
            match &mut self.place {
                Place::List(masters, leader) => {
                    let others = masters.iter().filter(|master| Some(*master) != leader.as_ref());
                    let candidates: Vec<MasterUrl> = leader.iter().chain(others).cloned().collect();
                    let found = Asker { config: &self.config, headers: &self.headers }.ask_each(candidates, ask).await;
                    *leader = found.as_ref().ok().map(|found| found.master.clone());
                    return found;
                }
                Place::ZooKeeper { url, detector, last, asked } => {
                    let unknown = match detector.known(self.config.timings.answer).await {
                        Detection::Leader(leader) => {
                            *last = Some(leader);
                            None
                        }
                        unknown => Some(why_unknown(unknown, url)),
                    };
                    // Who led last is worth a try: maybe only we do not reach ZooKeeper, and a master knows by itself
                    // whether it leads.
                    *asked = last.as_ref().map(|leader| leader.znode.clone());
                    let scheme = Scheme::of(self.config.tls.is_some());
                    let candidates = last.as_ref().map(|leader| leader.urls(scheme)).unwrap_or_default();
                    let asker = Asker { config: &self.config, headers: &self.headers };
                    let found = tokio::select! {
                        found = asker.ask_each(candidates, ask) => found,
                        () = detector.other_than(asked.as_deref()) => continue,
                    };
                    return found.map_err(|reason| match unknown {
                        Some(unknown) => {
                            *asked = None;
                            unknown
                        }
                        None => reason,
                    });
                }
            }
        }
    }

    /// Waits until ZooKeeper names another leader than the one that was asked last; for ever with a list.
    pub(super) async fn other_leader(&mut self) {
        match &mut self.place {
            Place::List(..) => std::future::pending().await,
            Place::ZooKeeper { detector, asked, .. } => detector.other_than(asked.as_deref()).await,
        }
    }
}

fn why_unknown(detection: Detection, url: &ZooKeeperUrl) -> DisconnectReason {
    let servers = url.servers().to_owned();
    match detection {
        Detection::NoLeader(detail) => DisconnectReason::NoLeader { servers, detail },
        Detection::Unreachable(detail) => DisconnectReason::ZooKeeper { servers, detail },
        Detection::Starting | Detection::Leader(_) => {
            DisconnectReason::ZooKeeper { servers, detail: "no answer yet".into() }
        }
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

/// Speaks to masters.
struct Asker<'a> {
    config: &'a Config,
    headers: &'a HeaderMap,
}

impl Asker<'_> {
    async fn ask_each(&self, candidates: Vec<MasterUrl>, ask: &Ask<'_>) -> Result<Found, DisconnectReason> {
        let mut worst = DisconnectReason::NoMasters;
        for master in candidates {
            match self.follow(master, ask).await {
                Ok(found) => return Ok(found),
                Err(reason) => worst = more_telling(worst, reason),
            }
        }
        Err(worst)
    }

    /// Asks one master and goes where it points.
    async fn follow(&self, mut master: MasterUrl, ask: &Ask<'_>) -> Result<Found, DisconnectReason> {
        for _ in 0..=MAX_REDIRECTS {
            let unreachable = |error| DisconnectReason::unreachable(&master.authority, &error);
            let mut connection = self.open(&master).await?;
            let answer = self.send(&mut connection, ask).await.map_err(unreachable)?;
            match answer.status() {
                StatusCode::OK => return Ok(Found { master, connection, answer }),
                StatusCode::TEMPORARY_REDIRECT => {
                    let next = redirect(&master, &answer)?;
                    tracing::debug!(%master, leader = %next, "redirected");
                    master = next;
                }
                status => {
                    let message = error_text(answer, self.config.timings.answer).await;
                    let (master, status) = (master.authority, status.as_u16());
                    return Err(DisconnectReason::Refused { master, status, message });
                }
            }
        }
        Err(DisconnectReason::TooManyRedirects { master: master.authority })
    }

    async fn open(&self, master: &MasterUrl) -> Result<Connection, DisconnectReason> {
        let MasterUrl { scheme, authority } = master;
        let tls = match (scheme, &self.config.tls) {
            (Scheme::Http, _) => None,
            (Scheme::Https, Some(tls)) => Some(tls),
            (Scheme::Https, None) => return Err(DisconnectReason::NoCa { master: authority.clone() }),
        };
        let opened = Connection::open(authority, tls, self.config.timings.answer).await;
        opened.map_err(|error| DisconnectReason::unreachable(authority, &error))
    }

    async fn send(&self, connection: &mut Connection, ask: &Ask<'_>) -> Result<Response<Incoming>, TransportError> {
        match ask {
            Ask::Get(path) => connection.get(path, self.headers).await,
            Ask::Post(path, body) => connection.post(path, self.headers, body.clone()).await,
        }
    }
}

fn redirect(master: &MasterUrl, answer: &Response<Incoming>) -> Result<MasterUrl, DisconnectReason> {
    let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let nowhere =
        DisconnectReason::BadRedirect { master: master.authority.clone(), location: location.map(Into::into) };
    let Some(location) = location else { return Err(nowhere) };
    location::target(master, location).map_err(|bad| match bad {
        BadLocation::Nowhere => nowhere,
        BadLocation::Downgrade => {
            DisconnectReason::Downgrade { master: master.authority.clone(), location: location.to_owned() }
        }
    })
}
