//! From one place to another, so that at no moment two schedulers could begin with the same framework:
//!
//! 1. both places are taken;
//! 2. the records are copied, with a mark that they are not whole yet, and read back;
//! 3. the old place is marked as moved: from here on no scheduler begins there;
//! 4. the mark of the new place is taken away: from here on one may begin there.
//!
//! Wherever this breaks off, the same command goes on: what is not whole is copied again, and the old records stay.

use super::{Mark, Place, StateError, StoreError, mark, marked, place::Held, what};
use crate::store::{Found, Records};

/// What a move has done.
#[derive(Debug)]
pub struct Moved {
    /// From where.
    pub from: String,
    /// To where.
    pub to: String,
    /// All of it was there already.
    pub before: bool,
    /// What was moved.
    pub records: Records,
}

/// Moves the state of a stopped scheduler. The old place keeps its records, and says where they are now.
pub async fn move_state(from: &Place, to: &Place) -> Result<Moved, StateError> {
    if from.name() == to.name() {
        return Err(StateError::Same { place: from.name() });
    }
    if !from.is_state().await? {
        return Err(StateError::Nothing { place: from.name() });
    }
    let (mut source, found) = from.hold().await?;
    let moved = match marked(found, from) {
        Ok((records, mark)) => to_target(&mut source, records, mark, from, to).await,
        Err(error) => Err(error),
    };
    source.release().await;
    moved
}

async fn to_target(
    source: &mut Held,
    records: Records,
    mark: Option<Mark>,
    from: &Place,
    to: &Place,
) -> Result<Moved, StateError> {
    let (mut target, found) = to.hold().await?;
    // A folder's name is known for sure once it is there.
    let names = (from.name(), to.name());
    let done = match next(mark, found, &names) {
        Ok(Next::Nothing) => Ok(true),
        Ok(Next::Copy) => copied(source, &mut target, &records, &names).await.map(|()| false),
        Err(error) => Err(error),
    };
    target.release().await;
    let (before, (from, to)) = (done?, names);
    Ok(Moved { from, to, before, records })
}

enum Next {
    /// All of it.
    Copy,
    /// It is done.
    Nothing,
}

/// What is left to do, or why it must not be done.
fn next(mark: Option<Mark>, found: Found, (from, to): &(String, String)) -> Result<Next, StateError> {
    let (there, mark_there) = match found {
        Found::Nothing => (None, None),
        Found::Records(mut records) => {
            let mark = mark::taken(&mut records);
            (Some(records), mark)
        }
        Found::Damaged(error) => return Err(error.into()),
    };
    let comes_from_here = mark_there == Some(Mark::Unfinished { from: from.clone() });
    let went_here = mark_there == Some(Mark::Moved { to: from.clone() });
    match mark {
        Some(Mark::Moved { to: other }) if other != *to => Err(StoreError::Moved { to: other }.into()),
        Some(Mark::Unfinished { from }) => Err(StoreError::Unfinished { from }.into()),
        // It broke off before its last step, or is done.
        Some(Mark::Moved { .. }) if comes_from_here => Ok(Next::Copy),
        Some(Mark::Moved { .. }) if there.is_some() && mark_there.is_none() => Ok(Next::Nothing),
        // What was moved there is not there: the records that stayed here are older than what it has become.
        Some(Mark::Moved { to }) => Err(StoreError::Moved { to }.into()),
        // A state that comes back takes the place of what it left.
        None if there.is_none() || comes_from_here || went_here => Ok(Next::Copy),
        None => {
            let what = there.as_ref().map(what).unwrap_or_default();
            Err(StateError::Occupied { place: to.clone(), what })
        }
    }
}

/// Steps 2 to 4.
async fn copied(
    source: &mut Held,
    target: &mut Held,
    records: &Records,
    (from, to): &(String, String),
) -> Result<(), StateError> {
    let unfinished = Mark::Unfinished { from: from.clone() };
    let marked = unfinished.put();
    let mut copy = records.clone();
    copy.extend(marked.value.map(|value| (marked.key, value)));
    target.replace(copy, &unfinished).await?;
    source.apply(Mark::Moved { to: to.clone() }.put()).await?;
    Ok(target.apply(unfinished.gone()).await?)
}
