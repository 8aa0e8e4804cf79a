//! What goes wrong in one trial and when, and the trace of all that passed by.
//!
//! A crash is atomic: from the moment on at which a scheduler process dies, nothing of it reaches the master or the store
//! any more, however long its task takes to be dropped.

use std::{
    collections::{BTreeSet, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::points::{Fault, Point, Step};

/// A file of this name lets the next executor that sees it die.
pub const DIE: &str = "die";
/// Its name once an executor has seen it.
pub const DIED: &str = "died";

/// Most of the time between two looks that counts as calm.
const COUNTED_MAX: Duration = Duration::from_millis(100);

/// The faults of a trial in their order.
pub struct Script {
    /// Holds [`DIE`].
    folder: PathBuf,
    began: Instant,
    inner: Mutex<Inner>,
}

struct Inner {
    /// Still to come; the first one is armed, unless the process is doomed.
    faults: VecDeque<Point>,
    /// Number of the scheduler process that lives, from 1.
    life: usize,
    /// Of that process; cancelled when it is dead.
    dead: CancellationToken,
    /// A fault that kills it has begun.
    doomed: bool,
    subscribed: bool,
    /// Time since the last fault or subscription, as far as it counts ([`Script::look`]).
    calm: Duration,
    trace: Vec<String>,
    /// Ids of all tasks ever launched.
    launched: BTreeSet<String>,
    /// Broken promises.
    wrong: Vec<String>,
}

/// One scheduler process, seen from outside.
#[derive(Clone)]
pub struct Life {
    script: Arc<Script>,
    number: usize,
    dead: CancellationToken,
}

/// What becomes of a step.
#[derive(Debug, PartialEq, Eq)]
pub enum Pass {
    /// It happens.
    Go,
    /// The process is dead: it does not happen.
    Dead,
    /// Something happens with it; of faults that kill, the caller says when ([`Life::die`]).
    Fault(Fault),
}

impl Script {
    /// These faults, with a folder that executors look into.
    pub fn new(faults: impl IntoIterator<Item = Point>, folder: &Path) -> Arc<Script> {
        let inner = Inner {
            faults: faults.into_iter().collect(),
            life: 0,
            dead: CancellationToken::new(),
            doomed: false,
            subscribed: false,
            calm: Duration::ZERO,
            trace: vec![],
            launched: BTreeSet::new(),
            wrong: vec![],
        };
        Arc::new(Script { folder: folder.into(), began: Instant::now(), inner: Mutex::new(inner) })
    }

    /// A new scheduler process; the one before is dead.
    pub fn begin(self: &Arc<Self>) -> Life {
        let mut inner = self.lock();
        inner.life += 1;
        (inner.dead, inner.doomed, inner.subscribed) = (CancellationToken::new(), false, false);
        self.note(&mut inner, "scheduler starts");
        self.arm(&mut inner);
        Life { script: self.clone(), number: inner.life, dead: inner.dead.clone() }
    }

    /// To be called again and again with the time that has passed: sees whether an executor has died as it was to, and
    /// returns for how long nothing has gone wrong; nothing while the process is not subscribed.
    ///
    /// Of a long time since the last look little counts: the machine is too busy for the trial, and so it is for the
    /// scheduler, of which nobody may ask more than of a machine of its own.
    pub fn look(&self, passed: Duration) -> Duration {
        let mut inner = self.lock();
        inner.calm += passed.min(COUNTED_MAX);
        if inner.faults.front().is_some_and(|point| point.step == Step::Executor)
            && std::fs::remove_file(self.folder.join(DIED)).is_ok()
        {
            self.fire(&mut inner);
            self.arm(&mut inner);
        }
        if inner.subscribed && !inner.doomed { inner.calm } else { Duration::ZERO }
    }

    /// Gives up the faults that have not come, and returns them.
    pub fn give_up(&self) -> Vec<Point> {
        let mut inner = self.lock();
        self.disarm();
        if !inner.faults.is_empty() {
            self.note(&mut inner, "nothing more goes wrong");
        }
        std::mem::take(&mut inner.faults).into()
    }

    /// The promises that were broken on the way.
    pub fn wrong(&self) -> Vec<String> {
        self.lock().wrong.clone()
    }

    /// Everything that passed by.
    pub fn trace(&self) -> String {
        self.lock().trace.join("\n")
    }

    fn pass(&self, inner: &mut Inner, life: &Life, step: Option<Step>, what: &str) -> Pass {
        if life.dead.is_cancelled() {
            return Pass::Dead;
        }
        self.note(inner, what);
        if step == Some(Step::Subscribed) {
            (inner.subscribed, inner.calm) = (true, Duration::ZERO);
        }
        let armed = inner.faults.front().filter(|point| Some(point.step) == step && !inner.doomed).copied();
        let Some(point) = armed else { return Pass::Go };
        self.fire(inner);
        inner.doomed = matches!(point.fault, Fault::DiesBefore | Fault::DiesUnaware | Fault::DiesAfter);
        if point.fault == Fault::DiesBefore {
            self.end(inner, life);
            return Pass::Dead;
        }
        if !inner.doomed {
            self.arm(inner);
        }
        Pass::Fault(point.fault)
    }

    fn fire(&self, inner: &mut Inner) {
        let Some(point) = inner.faults.pop_front() else { return };
        self.disarm();
        inner.calm = Duration::ZERO;
        self.note(inner, &format!("*** {} ({})", point.name, point.line));
    }

    fn end(&self, inner: &mut Inner, life: &Life) {
        life.dead.cancel();
        inner.calm = Duration::ZERO;
        self.note(inner, "*** the scheduler is dead");
    }

    fn arm(&self, inner: &mut Inner) {
        if inner.faults.front().is_some_and(|point| point.takes_an_executor()) {
            std::fs::write(self.folder.join(DIE), "").expect("the trial's folder is writable");
        }
    }

    fn disarm(&self) {
        for name in [DIE, DIED] {
            // Absent: none was armed, or an executor has taken it.
            let _ = std::fs::remove_file(self.folder.join(name));
        }
    }

    fn note(&self, inner: &mut Inner, what: &str) {
        let (ms, life) = (self.began.elapsed().as_millis(), inner.life);
        inner.trace.push(format!("{ms:6} ms  #{life}  {what}"));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic under the lock")
    }
}

impl Life {
    /// Something passes between the process and the master.
    pub fn pass(&self, step: Option<Step>, what: &str) -> Pass {
        self.script.pass(&mut self.script.lock(), self, step, what)
    }

    /// A living process launches these tasks and breaks these promises.
    pub fn calls(&self, launched: Vec<String>, mut broken: Vec<String>) {
        let mut inner = self.script.lock();
        if self.dead.is_cancelled() {
            return;
        }
        for task in launched {
            if !inner.launched.insert(task.clone()) {
                broken.push(format!("{task} is launched twice"));
            }
        }
        for promise in broken {
            self.script.note(&mut inner, &format!("!!! {promise}"));
            inner.wrong.push(promise);
        }
    }

    /// The process writes into its store; none when that never happened or the process does not live to see it. Under the
    /// lock, so that no write of a dead process comes after its successor's first look.
    pub fn write<T>(&self, step: Option<Step>, what: &str, write: impl FnOnce() -> T) -> Option<T> {
        let mut inner = self.script.lock();
        match self.script.pass(&mut inner, self, step, what) {
            Pass::Go => Some(write()),
            Pass::Dead => None,
            Pass::Fault(Fault::DiesUnaware) => {
                write();
                self.script.end(&mut inner, self);
                None
            }
            Pass::Fault(fault) => unreachable!("{fault:?} does not happen to a store"),
        }
    }

    /// Something that was late arrives, whether the process still lives or not.
    pub fn arrives_late(&self, what: &str) {
        let mut inner = self.script.lock();
        inner.calm = Duration::ZERO;
        self.script.note(&mut inner, what);
    }

    /// The process dies.
    pub fn die(&self) {
        self.script.end(&mut self.script.lock(), self);
    }

    /// Completes when the process is dead.
    pub async fn dead(&self) {
        self.dead.cancelled().await;
    }

    /// Its number, from 1.
    pub fn number(&self) -> usize {
        self.number
    }
}
