//! The protocol on a partition's list of epochs: what exists wins, and only `IF NOT EXISTS` appends.

use std::{sync::Arc, time::Duration};

use super::{AHEAD_MAX_US, AHEAD_WAIT_US, Epoch, Life, Mark, Why, YOUNG_US, propose};

/// Epochs read at once: a list grows by about one in ten seconds, and what is needed lies at its end.
pub const PAGE: i32 = 100;

const ANOTHER_LIST: &str = "the list of timestamp blocks is another one: its table was emptied or restored";
const ANOTHER_LIFE: &str = "another executor reads another log, generation or group by the same list";

/// What others begin below our position gives what we have read younger timestamps.
pub const BELOW: &str = "another executor has begun younger timestamps below this position";

/// The list of one partition. Every answer on epochs is linearisable.
pub trait List: Send + Sync {
    /// Why an answer is missing. After it an append may or may not have happened.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Up to [`PAGE`] epochs, newest first: those below number `before`, or the newest of all.
    fn newest(&self, before: Option<u64>) -> impl Future<Output = Result<Vec<Epoch>, Self::Error>> + Send;

    /// What is marked as durable.
    fn mark(&self) -> impl Future<Output = Result<Option<Mark>, Self::Error>> + Send;

    /// Appends the epoch if `last` is the newest and still there. Whether it happened.
    fn append(&self, last: Option<&Epoch>, epoch: &Epoch) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// The cluster's clock and ours, in microseconds since the epoch.
    fn clocks_us(&self) -> impl Future<Output = Result<Clocks, Self::Error>> + Send;
}

/// Two clocks read at about the same time, in microseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// Of the cluster: the median of several coordinators where one differs from ours.
    pub coordinator_us: i64,
    /// Of this process.
    pub here_us: i64,
}

impl Clocks {
    /// What anchors are made from: a clock that is behind must not write below what is there.
    fn anchor_us(self) -> i64 {
        self.coordinator_us.max(self.here_us)
    }

    /// For how long a block that was made at `anchor_us` may still stamp new records.
    pub fn young_for(self, anchor_us: i64) -> Duration {
        let left = anchor_us.saturating_add(YOUNG_US).saturating_sub(self.anchor_us());
        Duration::from_micros(left.clamp(0, YOUNG_US) as u64)
    }
}

/// Why there is no block.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError<E: std::error::Error + 'static> {
    /// Try again.
    #[error("timestamp blocks could not be read or written")]
    Store(#[source] E),
    /// A newer generation has taken over; this one must stop (D5).
    #[error(
        "generation {generation} was taken over by generation {by} with another meaning; if no newer version of the job runs, the scheduler's state is older than the table: deploy the job again, which takes the next generation"
    )]
    Sealed {
        /// Ours.
        generation: u64,
        /// The one that holds the list now.
        by: u64,
    },
    /// The list has changed so that the partition must begin anew, at once.
    #[error("{reason}; beginning anew")]
    Anew {
        /// What has changed.
        reason: &'static str,
    },
    /// A clock is wrong; writing with it would hide later manual changes.
    #[error(
        "the next timestamps would be {} s ahead of Cassandra's clock (at most {} s are allowed): check the clocks of this host and of the Cassandra nodes",
        ahead_us / 1_000_000, AHEAD_MAX_US / 1_000_000
    )]
    Clock {
        /// By how much.
        ahead_us: i64,
    },
    /// Sparse offsets have used timestamps up faster than time passes. Try again when the clock has come nearer.
    #[error("the timestamps of the last block are {} ms ahead of the clock: waiting for it", ahead_us / 1_000)]
    Early {
        /// By how much.
        ahead_us: i64,
    },
}

impl<E: std::error::Error> KeeperError<E> {
    /// Whether the same call may work later without anybody doing something.
    pub fn is_transient(&self) -> bool {
        matches!(self, KeeperError::Store(_) | KeeperError::Early { .. })
    }
}

/// What is wanted of the next epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Why.
    pub why: Why,
    /// First offset.
    pub from: i64,
    /// Number of offsets.
    pub ahead: i64,
    /// Timestamps lie above this, whatever the list says: the end of a list of an earlier release.
    pub floor_us: i64,
}

/// Appends one epoch after `last`, and returns it, or the one that another process appended first, with the clocks by
/// which its age is judged.
pub async fn append<L: List>(
    list: &L,
    life: &Arc<Life>,
    last: Option<&Epoch>,
    wanted: Wanted,
) -> Result<(Epoch, Clocks), KeeperError<L::Error>> {
    let clocks = list.clocks_us().await.map_err(KeeperError::Store)?;
    let Wanted { why, from, ahead, floor_us } = wanted;
    let ahead_us = clocks.anchor_us() - clocks.coordinator_us;
    if ahead_us > AHEAD_MAX_US {
        return Err(KeeperError::Clock { ahead_us });
    }
    let block = propose(last, why, from, ahead, clocks.anchor_us(), floor_us);
    let ahead_us = block.anchor_us - clocks.anchor_us();
    if ahead_us > AHEAD_MAX_US {
        return Err(KeeperError::Clock { ahead_us });
    }
    if ahead_us > AHEAD_WAIT_US {
        return Err(KeeperError::Early { ahead_us });
    }
    let number = last.map_or(1, |last| last.number + 1);
    let epoch = Epoch { number, life: life.clone(), why, block };
    let unclear = match list.append(last, &epoch).await {
        Ok(true) => return Ok((epoch, clocks)),
        Ok(false) => None,
        // A conditional write that timed out may have happened, or still happen: what a SERIAL read sees stays (fault C9).
        Err(error) => {
            tracing::warn!(%error, number, "append of a timestamp block has no clear answer");
            Some(error)
        }
    };
    match (after(list, last, number).await, unclear) {
        // It has not happened, and the answer says why.
        (Err(KeeperError::Early { .. }), Some(error)) => Err(KeeperError::Store(error)),
        (found, _) => found.map(|there| (there, clocks)),
    }
}

/// The epoch of this number, when the list is the one we know.
async fn after<L: List>(list: &L, last: Option<&Epoch>, number: u64) -> Result<Epoch, KeeperError<L::Error>> {
    let page = list.newest(Some(number + 1)).await.map_err(KeeperError::Store)?;
    let found = page.into_iter().take(2).collect::<Vec<_>>();
    let known = match (last, found.get(1)) {
        (None, _) => true,
        (Some(last), Some(before)) => before == last,
        (Some(_), None) => false,
    };
    match found.into_iter().next() {
        Some(there) if there.number == number && known => Ok(there),
        // Our append was lost on the way: the same is tried again.
        Some(there) if Some(&there) == last => Err(KeeperError::Early { ahead_us: 0 }),
        None if last.is_none() => Err(KeeperError::Early { ahead_us: 0 }),
        _ => Err(KeeperError::Anew { reason: ANOTHER_LIST }),
    }
}

/// Appends epochs after `last` until one holds `position` and is young, and returns them with the time for which the
/// last one stays young. `cut`: `last` holds it but is old. Whatever another process appended first is taken; the caller
/// must see that it does not begin below what it has read.
pub async fn extend<L: List>(
    list: &L,
    life: &Arc<Life>,
    mut last: Epoch,
    position: i64,
    ahead: i64,
    cut: bool,
) -> Result<(Vec<Epoch>, Duration), KeeperError<L::Error>> {
    let mut epochs = vec![];
    let mut needs_younger = cut;
    loop {
        let (why, from) = match last.block {
            // Not a start: what was read before it need not be durable.
            block if position < block.from => (Why::Next, position),
            block if needs_younger && block.holds(position) => (Why::Cut, position),
            block => (Why::Next, position.max(block.end())),
        };
        let wanted = Wanted { why, from, ahead, floor_us: i64::MIN };
        let (epoch, clocks) = append(list, life, Some(&last), wanted).await?;
        check(life, &epoch.life)?;
        let young_for = clocks.young_for(epoch.block.anchor_us);
        let (holds, is_ahead) = (epoch.block.holds(position), epoch.block.from > position);
        epochs.push(epoch.clone());
        last = epoch;
        // One that begins above the position leaves it to the block before, which another process has let grow old.
        if (holds || is_ahead) && !young_for.is_zero() {
            return Ok((epochs, young_for));
        }
        needs_younger = true;
    }
}

/// Why a consumer that goes by `last` and has read up to `position` must begin anew, if it must: others have changed the
/// list. Who stamps something new finds this out when it appends; who is idle must look.
pub fn changed(last: &Epoch, newest_first: &[Epoch], position: i64) -> Option<&'static str> {
    let (newer, known) = newest_first.split_at(newest_first.partition_point(|epoch| epoch.number > last.number));
    if known.first() != Some(last) {
        return Some(ANOTHER_LIST);
    }
    newer.iter().find_map(|epoch| match last.life.is_same(&epoch.life) {
        false => Some(ANOTHER_LIFE),
        true => (epoch.block.from < position).then_some(BELOW),
    })
}

/// Whether what another process has appended is of the life we serve.
fn check<E: std::error::Error>(life: &Life, other: &Life) -> Result<(), KeeperError<E>> {
    if other.meaning != life.meaning && other.generation > life.generation {
        return Err(KeeperError::Sealed { generation: life.generation, by: other.generation });
    }
    match life.is_same(other) {
        true => Ok(()),
        false => Err(KeeperError::Anew { reason: ANOTHER_LIFE }),
    }
}
