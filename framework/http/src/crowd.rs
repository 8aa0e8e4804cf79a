//! Who is connected, oldest first. When there are too many, the one goes that has waited longest without asking anything.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use tokio_util::sync::CancellationToken;

/// One connection.
#[derive(Debug, Default)]
pub(crate) struct Guest {
    /// Requests that are being answered.
    asking: AtomicUsize,
    /// It does not take what it has asked for.
    stalls: AtomicBool,
    /// It is to end now.
    pub(crate) leave: CancellationToken,
}

/// As long as it lives, its connection is not sent away for others.
#[derive(Debug)]
pub(crate) struct Asking(Arc<Guest>);

impl Guest {
    pub(crate) fn asks(self: &Arc<Self>) -> Asking {
        self.asking.fetch_add(1, Relaxed);
        Asking(self.clone())
    }

    /// Says whether it takes its answer at the moment.
    pub(crate) fn stalls(&self, stalls: bool) {
        self.stalls.store(stalls, Relaxed);
    }

    fn waits(&self) -> bool {
        self.asking.load(Relaxed) == 0 || self.stalls.load(Relaxed)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.asking.fetch_sub(1, Relaxed);
    }
}

/// All connections of a server.
#[derive(Debug)]
pub(crate) struct Crowd {
    most: usize,
    guests: Mutex<VecDeque<Arc<Guest>>>,
}

impl Crowd {
    pub(crate) fn new(most: usize) -> Crowd {
        Crowd { most: most.max(1), guests: Mutex::default() }
    }

    /// Takes one in; another that only waits goes for it. None when all are being answered.
    pub(crate) fn enter(&self) -> Option<Arc<Guest>> {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        if guests.len() >= self.most {
            let waits = guests.iter().position(|guest| guest.waits())?;
            guests.remove(waits)?.leave.cancel();
        }
        let guest = Arc::new(Guest::default());
        guests.push_back(guest.clone());
        Some(guest)
    }

    pub(crate) fn left(&self, gone: &Arc<Guest>) {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        guests.retain(|guest| !Arc::ptr_eq(guest, gone));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_longest_goes_and_who_asks_stays() {
        let crowd = Crowd::new(2);
        let (first, second) = (crowd.enter().expect("room"), crowd.enter().expect("room"));
        let asks = first.asks();
        let third = crowd.enter().expect("the second goes");
        assert!(second.leave.is_cancelled() && !first.leave.is_cancelled());
        let _asks_too = third.asks();
        assert!(crowd.enter().is_none(), "all are being answered");
        third.stalls(true);
        assert!(crowd.enter().is_some() && third.leave.is_cancelled(), "who takes nothing goes");
        drop(asks);
        crowd.enter().expect("the first goes");
        assert!(first.leave.is_cancelled());
        crowd.left(&third);
        assert_eq!(crowd.guests.lock().expect("no panic").len(), 2);
    }
}
