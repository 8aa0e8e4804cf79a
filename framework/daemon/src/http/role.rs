//! What this process is to the others at the moment, and how it answers for it.

use std::sync::Arc;

use axum::{
    extract::{Request, State as Shared},
    http::{StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::sync::{mpsc, watch};

use super::{ANSWER_WITHIN, Api, Failure};
use crate::driver::{Ask, Vitals};

/// What a scheduler process is.
#[derive(Clone)]
pub(crate) enum Role {
    /// The only one, and not ready yet.
    Starting,
    /// Another one leads, or nobody does.
    Standby {
        /// URL of the leader's API.
        leader: watch::Receiver<Option<String>>,
    },
    /// It decides.
    Leading(Leading),
}

/// How a leader's driver is reached.
#[derive(Clone)]
pub(crate) struct Leading {
    pub(crate) ask: mpsc::Sender<Ask>,
    pub(crate) vitals: Arc<Vitals>,
}

impl Api {
    /// What it is now. A start is waited for: it takes the time of reading the store.
    pub(super) async fn role(&self) -> Role {
        let mut roles = self.roles.clone();
        let ready = roles.wait_for(|role| !matches!(role, Role::Starting));
        match tokio::time::timeout(ANSWER_WITHIN, ready).await {
            Ok(Ok(role)) => role.clone(),
            _ => Role::Starting,
        }
    }

    pub(super) async fn leading(&self) -> Result<Leading, Failure> {
        match self.role().await {
            Role::Leading(leading) => Ok(leading),
            Role::Standby { .. } => Err(Failure::no_leader()),
            Role::Starting => Err(Failure::stuck()),
        }
    }

    /// Who leads, as far as it is known and not this process itself: its last lock may still be there.
    pub(super) fn other(&self, leader: &watch::Receiver<Option<String>>) -> Option<String> {
        leader.borrow().clone().filter(|leader| Some(leader) != self.url.as_ref())
    }
}

/// Lets only a leader answer; a standby sends people to it.
pub(super) async fn only_leader(Shared(api): Shared<Api>, request: Request, next: Next) -> Response {
    match api.role().await {
        Role::Leading(_) => next.run(request).await,
        Role::Standby { leader } => match api.other(&leader) {
            Some(leader) => to_leader(&leader, request.uri()),
            None => Failure::no_leader().into_response(),
        },
        Role::Starting => Failure::stuck().into_response(),
    }
}

fn to_leader(leader: &str, uri: &Uri) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let location = format!("{}{path}", leader.trim_end_matches('/'));
    let remedy = format!("ask {leader}, which leads");
    let failure = Failure::new(StatusCode::TEMPORARY_REDIRECT, "this scheduler is a standby", remedy);
    ([(header::LOCATION, location)], failure).into_response()
}
