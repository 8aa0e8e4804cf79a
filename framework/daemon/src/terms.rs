//! One time of leading after the other, until the process ends.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use millstream_mesos::scheduler::{Config as SessionConfig, DisconnectReason};
use millstream_scheduler::{Settings, State};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    RunError, chain,
    driver::{Driver, Vitals},
    election::{Election, Term},
    http::{Leading, Role},
    metrics::Metrics,
    store::mark,
    store::{StateStore, StoreError},
};

/// Requests that wait for the driver; further ones wait in their handlers.
const ASKS_AHEAD: usize = 64;

/// Pause of a scheduler that the master has turned away because another one subscribed: the other is to settle first.
const TURNED_AWAY: Duration = Duration::from_secs(10);

/// Pause before a store that does not answer is read again.
const LOAD_RETRY: Duration = Duration::from_millis(500);

pub(crate) struct Terms {
    pub(crate) settings: Settings,
    pub(crate) session: SessionConfig,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) roles: watch::Sender<Role>,
    pub(crate) election: Arc<dyn Election>,
}

/// How a term ends.
enum End {
    /// The process is asked to end.
    Asked,
    /// Another one leads, or will.
    Lost,
    /// By itself.
    Failed(RunError),
}

impl Terms {
    /// Leads, or waits to, until `shutdown`, or until something only a person can mend.
    pub(crate) async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let mut shutdown = std::pin::pin!(shutdown);
        let (leader, led_by) = watch::channel(None);
        loop {
            if !self.election.is_alone() {
                self.roles.send_replace(Role::Standby { leader: led_by.clone() });
            }
            let Term { store, lost, release } = tokio::select! {
                term = self.election.campaign(&leader) => term?,
                () = &mut shutdown => return Ok(()),
            };
            let end = self.lead(store, &lost, shutdown.as_mut()).await;
            // Whoever leads next: what is known of it is old.
            leader.send_replace(None);
            if !self.election.is_alone() {
                self.roles.send_replace(Role::Standby { leader: led_by.clone() });
            }
            release.await;
            match end {
                End::Asked => return Ok(()),
                End::Lost => tracing::warn!("this scheduler does not lead any more; tasks run on"),
                End::Failed(error) if !self.election.is_alone() && is_turned_away(&error) => {
                    tracing::warn!(error = chain(&error), "another scheduler has subscribed; standing by");
                    tokio::select! {
                        () = tokio::time::sleep(TURNED_AWAY) => {}
                        () = &mut shutdown => return Ok(()),
                    }
                }
                End::Failed(error) => return Err(error),
            }
        }
    }

    /// One term. Whatever ends it drops the driver at once, which is a crash, and every step bears one.
    async fn lead(
        &self,
        store: Arc<dyn StateStore>,
        lost: &CancellationToken,
        shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> End {
        tokio::select! {
            biased;
            () = lost.cancelled() => End::Lost,
            () = shutdown => End::Asked,
            error = self.drive(store) => End::Failed(error),
        }
    }

    async fn drive(&self, store: Arc<dyn StateStore>) -> RunError {
        let state = match self.restored(&*store).await {
            Ok(state) => state,
            Err(error) => return error,
        };
        tracing::info!(framework = state.framework_id(), "leading");
        let (ask, asked) = mpsc::channel(ASKS_AHEAD);
        let vitals = Arc::new(Vitals::default());
        self.roles.send_replace(Role::Leading(Leading { ask, vitals: vitals.clone() }));
        Driver::new(state, store, self.metrics.clone(), vitals, self.session.clone()).run(asked).await
    }

    async fn restored(&self, store: &dyn StateStore) -> Result<State, RunError> {
        loop {
            match store.load().await {
                Ok(records) => {
                    let records = mark::checked(records)?;
                    return State::restore(self.settings.clone(), records).map_err(RunError::Restore);
                }
                // A session that has ended ends the term.
                Err(error @ (StoreError::ZooKeeper(_) | StoreError::Lost)) => {
                    tracing::warn!(error = chain(&error), "the state cannot be read; trying on");
                    tokio::time::sleep(LOAD_RETRY).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Mesos allows one subscription of a framework: a newer one ends the older with ERROR "Framework failed over"
/// (`src/master/master.cpp`).
fn is_turned_away(error: &RunError) -> bool {
    matches!(error, RunError::Session(DisconnectReason::Error(message)) if message.contains("failed over"))
}
