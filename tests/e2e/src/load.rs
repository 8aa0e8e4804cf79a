//! Records that keep coming while faults happen.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Result;
use millstream_testbed::produce::{LogProducer, Message, Position};

use crate::{Accounts, Servers};

/// One slice of the load, and the pause after it: about 2,000 records per second.
const SLICE: u64 = 200;
const PAUSE: Duration = Duration::from_millis(80);

/// A running load.
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(Accounts, Log)>>,
}

/// What was produced, and where each record is.
type Log = Vec<(Position, Message)>;

impl Load {
    /// Starts to produce the records of `accounts`.
    pub fn start(servers: &Servers, mut accounts: Accounts) -> Result<Self> {
        let producer = LogProducer::new(&servers.kafka.client(), &accounts.name)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut log = vec![];
            while !stopped.load(Ordering::Relaxed) {
                let messages = accounts.messages(SLICE);
                log.extend(producer.produce(messages.clone())?.into_iter().zip(messages));
                std::thread::sleep(PAUSE);
            }
            Ok((accounts, log))
        });
        Ok(Load { stop, thread })
    }

    /// Ends the load; gives the log as it was acknowledged.
    pub async fn stop(self) -> Result<(Accounts, Vec<(Position, Message)>)> {
        self.stop.store(true, Ordering::Relaxed);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await?;
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
