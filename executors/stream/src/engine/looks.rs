use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Engine, setup::Ready};

/// Looks at the engine every so often, once it is set up and as long as it is there.
pub(super) struct Looks {
    engine: Weak<Engine>,
    ticks: Interval,
}

impl Looks {
    pub(super) fn every(period: Duration, engine: &Arc<Engine>) -> Self {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Looks { engine: Arc::downgrade(engine), ticks }
    }

    /// The engine when it is time; none when it is gone. To be let go before the next look.
    pub(super) async fn next(&mut self) -> Option<(Arc<Engine>, Arc<Ready>)> {
        loop {
            self.ticks.tick().await;
            let engine = self.engine.upgrade()?;
            if let Some(ready) = engine.ready.get().cloned() {
                return Some((engine, ready));
            }
        }
    }
}
