//! What a person does with the state of schedulers: back it up, restore it, move it. No scheduler can work on it meanwhile.
//!
//! * [`backup`]: the form of a backup; [`file`]: its file, whoever has put it there
//! * [`place`]: a folder or a ZooKeeper, and how it is held
//! * [`moved`]: from one place to another
//!
//! Invariant: at each moment at most one place holds records that a scheduler begins with; what breaks off is done again by
//! the same command.

pub mod backup;
pub mod file;
mod moved;
mod place;

use std::path::PathBuf;

use millstream_scheduler::views::counted;
use serde_json::json;

use crate::store::{Found, Records, StoreError, mark, mark::Mark};
pub use backup::Backup;
use backup::BackupError;
pub use moved::{Moved, move_state};
pub use place::Place;

/// Record of the numbers that make ids unique.
const COUNTER: &str = "counter";

/// Numbers that may have been given since a backup was made: ids of tasks that run must not be given again. A scheduler that
/// launches 200 tasks a second, day and night, takes weeks for them.
const COUNTER_LEAP: u64 = 1_000_000_000;

/// Why a state cannot be backed up, restored or moved.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The place fails, or does not hold what it should.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The backup fails.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// Nothing is there.
    #[error(
        "there is no state in {place}; --state names the folder or the ZooKeeper that a scheduler was started with"
    )]
    Nothing {
        /// Where.
        place: String,
    },
    /// A state would be lost.
    #[error(
        "there is a state in {place} already: {what}. --force replaces it; no second scheduler may use its framework"
    )]
    There {
        /// Where.
        place: String,
        /// Of what.
        what: String,
    },
    /// A state that cannot be read would be replaced.
    #[error("--force puts the backup in its place")]
    Damaged(#[source] StoreError),
    /// Both places of a move are one.
    #[error("{place} is where the state is")]
    Same {
        /// Where.
        place: String,
    },
    /// The target of a move holds another state.
    #[error("there is another state in {place} already: {what}. Move to a place without one; nothing was changed")]
    Occupied {
        /// Where.
        place: String,
        /// Of what.
        what: String,
    },
}

/// What a restore has done.
#[derive(Debug)]
pub struct Restored {
    /// What was in its place, if it was a file: it is kept.
    pub aside: Option<PathBuf>,
}

/// A backup of the state in a place that no scheduler works on, and where the state was moved since, if it was: then this is
/// what stayed. Nothing is changed.
pub async fn backup(place: &Place) -> Result<(Backup, Option<String>), StateError> {
    if !place.is_state().await? {
        return Err(StateError::Nothing { place: place.name() });
    }
    let (held, found) = place.hold().await?;
    held.release().await;
    let (records, mark) = marked(found, place)?;
    let moved_to = match mark {
        None => None,
        Some(Mark::Moved { to }) => Some(to),
        Some(Mark::Unfinished { from }) => return Err(StoreError::Unfinished { from }.into()),
    };
    Ok((Backup::now(place.name(), records), moved_to))
}

/// The records that were found, and the mark beside them.
fn marked(found: Found, place: &Place) -> Result<(Records, Option<Mark>), StateError> {
    match found {
        Found::Records(mut records) => {
            let mark = mark::taken(&mut records);
            Ok((records, mark))
        }
        Found::Damaged(error) => Err(error.into()),
        Found::Nothing => Err(StateError::Nothing { place: place.name() }),
    }
}

/// Puts a backup into a place that no scheduler works on, all of it or nothing. A state that is there is replaced only by
/// `force`.
pub async fn restore(place: &Place, backup: Backup, force: bool) -> Result<Restored, StateError> {
    let (mut held, found) = place.hold().await?;
    let may = match found {
        Found::Nothing | Found::Damaged(StoreError::Emptied { .. }) => Ok(()),
        _ if force => Ok(()),
        Found::Records(mut records) => Err(match mark::taken(&mut records) {
            Some(Mark::Moved { to }) => StoreError::Moved { to }.into(),
            _ => StateError::There { place: place.name(), what: what(&records) },
        }),
        Found::Damaged(error) => Err(StateError::Damaged(error)),
    };
    let done = match may {
        Ok(()) => {
            let unfinished = Mark::Unfinished { from: "a backup".into() };
            held.replace(leapt(backup.records), &unfinished).await.map_err(StateError::from)
        }
        Err(error) => Err(error),
    };
    held.release().await;
    Ok(Restored { aside: done? })
}

/// Records whose next number lies above all that may have been given meanwhile.
fn leapt(mut records: Records) -> Records {
    let next = records.get(COUNTER).and_then(|counter| counter["next"].as_u64()).unwrap_or(0);
    records.insert(COUNTER.into(), json!({ "next": next.saturating_add(COUNTER_LEAP) }));
    records
}

/// Records in a few words, for people.
pub fn what(records: &Records) -> String {
    let framework = framework(records).map_or_else(|| "no framework yet".to_owned(), |id| format!("framework {id}"));
    let jobs = records.keys().filter(|key| key.starts_with("job/")).count();
    format!("{framework}, {}, {}", counted(jobs, "job"), counted(records.len(), "record"))
}

/// Id of the framework at the master; none before the first subscription.
pub fn framework(records: &Records) -> Option<&str> {
    records.get("framework").and_then(|record| record["id"].as_str())
}
