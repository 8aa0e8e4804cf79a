//! The protocol on a partition's list of blocks: what exists wins, and only `IF NOT EXISTS` writes.

use super::{AHEAD_MAX_US, Block, propose};

/// Blocks read at once while walking forward to the position: a list grows by about one in ten seconds.
pub const PAGE: i32 = 1_000;

/// A write-once list of blocks, one per generation, of one partition. Every answer is linearisable.
pub trait List: Send + Sync {
    /// Why an answer is missing. After it an insert may or may not have happened.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The newest block whose `from` is at most `offset`.
    fn newest_from(
        &self,
        generation: u64,
        offset: i64,
    ) -> impl Future<Output = Result<Option<Block>, Self::Error>> + Send;

    /// Up to [`PAGE`] blocks whose `from` is at least `offset`, ascending.
    fn following(&self, generation: u64, offset: i64) -> impl Future<Output = Result<Vec<Block>, Self::Error>> + Send;

    /// Inserts the block unless there is one with the same `from`. Returns the one that is there now.
    fn insert(&self, generation: u64, block: Block) -> impl Future<Output = Result<Block, Self::Error>> + Send;

    /// The cluster's clock and ours, in microseconds since the epoch.
    fn clocks_us(&self) -> impl Future<Output = Result<Clocks, Self::Error>> + Send;
}

/// Two clocks read at about the same time, in microseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// Of the coordinator.
    pub coordinator_us: i64,
    /// Of this process.
    pub here_us: i64,
}

/// Why there is no block.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError<E: std::error::Error + 'static> {
    /// Try again.
    #[error("timestamp blocks could not be read or written")]
    Store(#[source] E),
    /// A newer generation has taken over; this one must stop (D5).
    #[error("generation {generation} is sealed at offset {at}: a newer version of the job has taken over")]
    Sealed {
        /// The generation.
        generation: u64,
        /// First offset without a timestamp.
        at: i64,
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
}

impl<E: std::error::Error> KeeperError<E> {
    /// Whether the same call may work later without anybody doing something.
    pub fn is_transient(&self) -> bool {
        matches!(self, KeeperError::Store(_))
    }
}

/// The blocks from the one that holds `position` to the newest, at least one. When none holds it, one is inserted that
/// reaches `ahead` offsets beyond `position`.
pub async fn load<L: List>(
    list: &L,
    generation: u64,
    position: i64,
    ahead: i64,
) -> Result<Vec<Block>, KeeperError<L::Error>> {
    let Some(first) = list.newest_from(generation, position).await.map_err(KeeperError::Store)? else {
        let sealed = seal_older(list, generation).await?;
        return extend(list, generation, None, sealed, position, ahead).await;
    };
    let mut blocks = vec![first];
    loop {
        let last = blocks[blocks.len() - 1];
        if last.is_seal() {
            blocks.pop();
            let holds = blocks.last().is_some_and(|block| block.end() > position);
            return if holds { Ok(blocks) } else { Err(KeeperError::Sealed { generation, at: last.from }) };
        }
        let page = list.following(generation, last.end()).await.map_err(KeeperError::Store)?;
        let Some(newest) = page.last() else { break };
        blocks.extend(&page);
        // Only what is from the position on is needed.
        if newest.from <= position {
            blocks.drain(..blocks.len() - 1);
        }
    }
    let last = blocks[blocks.len() - 1];
    if last.end() <= position {
        return extend(list, generation, Some(last), None, position, ahead).await;
    }
    Ok(blocks)
}

/// Inserts blocks after `last` until one holds `position`, and returns those. Whatever another process inserted first
/// is taken.
pub async fn extend<L: List>(
    list: &L,
    generation: u64,
    mut last: Option<Block>,
    sealed: Option<Block>,
    position: i64,
    ahead: i64,
) -> Result<Vec<Block>, KeeperError<L::Error>> {
    let mut blocks = vec![];
    let clocks = list.clocks_us().await.map_err(KeeperError::Store)?;
    loop {
        let proposed = propose(last, sealed, position, ahead, clocks.here_us);
        let at_position = proposed.anchor_us + (position - proposed.from).max(0);
        let ahead_us = at_position - clocks.coordinator_us;
        if ahead_us > AHEAD_MAX_US {
            return Err(KeeperError::Clock { ahead_us });
        }
        let block = list.insert(generation, proposed).await.map_err(KeeperError::Store)?;
        if block.is_seal() {
            return Err(KeeperError::Sealed { generation, at: block.from });
        }
        blocks.push(block);
        if block.end() > position {
            return Ok(blocks);
        }
        last = Some(block);
    }
}

/// Seals the lists of all older generations, and returns the seal of the newest one that was ever used.
///
/// A generation that was never used is sealed too: its executor may still be on its way, and must not begin a list
/// whose timestamps this generation knows nothing of.
async fn seal_older<L: List>(list: &L, generation: u64) -> Result<Option<Block>, KeeperError<L::Error>> {
    for older in (1..generation).rev() {
        let mut newest = list.newest_from(older, i64::MAX).await.map_err(KeeperError::Store)?;
        let seal = loop {
            let last = match newest {
                Some(last) if last.is_seal() => break last,
                Some(last) => last.seal(),
                None => Block::UNUSED,
            };
            newest = Some(list.insert(older, last).await.map_err(KeeperError::Store)?);
        };
        if seal != Block::UNUSED {
            return Ok(Some(seal));
        }
    }
    Ok(None)
}
