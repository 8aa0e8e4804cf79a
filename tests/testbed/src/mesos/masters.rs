//! The masters of a cluster, and the supervisor that several of them need.

use std::{
    ops::DerefMut,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::sync::{Mutex, MutexGuard};

use crate::process::Process;

/// How often it is looked whether a master has ended. One that cannot run is started so often until its test gives up.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Enough of a log to see why a master has ended or does not lead.
const LOG_LINES: usize = 12;

/// All masters of a cluster, running or not.
#[derive(Debug)]
pub(super) struct Masters(Arc<Mutex<Vec<Process>>>);

impl Masters {
    pub(super) fn new(masters: Vec<Process>) -> Self {
        Masters(Arc::new(Mutex::new(masters)))
    }

    /// The process of master `i`, counted from 1.
    pub(super) async fn process(&self, i: usize) -> impl DerefMut<Target = Process> {
        MutexGuard::map(self.0.lock().await, |masters| &mut masters[i - 1])
    }

    /// Starts every master again that ends itself, until this is dropped; one that was killed stays dead. A master whose
    /// session with ZooKeeper is over ends itself, and Mesos expects that somebody starts it again: of three masters, one
    /// that is left has no quorum and never leads.
    pub(super) fn supervise(&self) {
        let masters = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            while restart_ended(&masters).await {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
    }

    /// What each master was last heard to say.
    pub(super) async fn logs(&self) -> String {
        let mut masters = self.0.lock().await;
        let logs = masters.iter_mut().map(|master| {
            let state = if master.is_running() { "runs" } else { "does not run" };
            format!("{} {state}; its log ends with\n{}\n", master.name(), master.log_tail(LOG_LINES))
        });
        logs.collect()
    }
}

/// False when the cluster is no more.
async fn restart_ended(masters: &Weak<Mutex<Vec<Process>>>) -> bool {
    let Some(masters) = masters.upgrade() else { return false };
    for master in masters.lock().await.iter_mut() {
        if let Err(error) = master.restart_if_ended() {
            eprintln!("{} stays away: {error:#}", master.name());
        }
    }
    true
}
