//! Whether the list of epochs is still the one that is gone by. Who stamps something new learns at its next append what
//! others have appended; an owner that is idle appends nothing, and would never learn that a zombie has begun younger
//! timestamps below it.

use std::{collections::BTreeMap, time::Duration};

use millstream_protocol::Partition;
use tokio::time::Instant;

use super::{PartitionState, Stop, Trouble, causes, looks::Looks, patience::few_at_once, setup::Ready};
use crate::blocks::{
    keeper::{List as _, changed},
    store::{CassandraList, StoreError},
};

/// How often the partitions are gone through.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// For how long a partition must not have appended anything.
const IDLE_FOR: Duration = Duration::from_secs(30);

/// Looks until the engine is gone.
pub(super) async fn watch(mut looks: Looks) {
    // The newest epoch of each partition, and since when it is or when it was looked at.
    let mut known: BTreeMap<Partition, (u64, Instant)> = BTreeMap::new();
    while let Some((engine, ready)) = looks.next().await {
        let now = Instant::now();
        let (mut seen, mut idle) = (BTreeMap::new(), vec![]);
        for state in engine.consumed() {
            let epoch = state.epoch();
            let before = known.get(&state.partition).filter(|(before, _)| *before == epoch);
            let since = before.map_or(now, |(_, since)| *since);
            let is_due = now.duration_since(since) >= IDLE_FOR;
            seen.insert(state.partition, (epoch, if is_due { now } else { since }));
            if is_due {
                idle.push(state);
            }
        }
        known = seen;
        let looked = few_at_once(idle.iter().map(|state| look(&ready, state))).await;
        match looked.into_iter().find_map(Result::err) {
            Some(error) => {
                let reason = format!("the list of timestamp blocks could not be looked at: {}", causes(&error));
                engine.shared.health.list.set(Trouble::stalled(reason));
                // All that were due are looked at again at the next round.
                let due = now.checked_sub(IDLE_FOR).unwrap_or(now);
                known.extend(idle.iter().map(|state| (state.partition, (state.epoch(), due))));
            }
            None => engine.shared.health.list.clear(),
        }
    }
}

/// Begins the partition anew where others have changed its list.
pub(super) async fn look(ready: &Ready, state: &PartitionState) -> Result<(), StoreError> {
    let Some(last) = state.last_epoch() else { return Ok(()) };
    let newest_first = CassandraList::new(ready.blocks.clone(), state.partition).newest(None).await?;
    // What is read while the list answers counts: it was read by the older epochs. Who has appended meanwhile has looked.
    let Some(position) = state.position() else { return Ok(()) };
    if state.last_epoch().as_ref() != Some(&last) {
        return Ok(());
    }
    if let Some(reason) = changed(&last, &newest_first, position) {
        ready.metrics.block("changed");
        state.request_stop(Stop::anew(format!("{reason}; beginning anew there")));
    }
    Ok(())
}
