//! The table of crash points: where in a launch something goes wrong, and what.

/// What passes by during a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The store takes our framework id.
    StoreFramework,
    /// The store takes the intent of a launch.
    StoreIntent,
    /// The store takes that a task runs.
    StoreRunning,
    /// The store takes that a task has ended and its slot is free. Makes an executor die, that there be an end to store.
    StoreEnd,
    /// The master's SUBSCRIBED.
    Subscribed,
    /// A task's UPDATE that is to be acknowledged.
    Update,
    /// The scheduler's ACCEPT.
    Accept,
    /// The scheduler's ACKNOWLEDGE.
    Acknowledge,
    /// The next executor that starts, or one that runs.
    Executor,
}

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The scheduler dies and the step never happens.
    DiesBefore,
    /// The step happens and the scheduler dies before it learns of it.
    DiesUnaware,
    /// The scheduler dies when the step is behind it.
    DiesAfter,
    /// The step seems to have happened and has not. The scheduler lives.
    Lost,
    /// The step happens and its answer gets lost. The scheduler lives.
    Unanswered,
    /// The step seems to have happened, and happens long after. The scheduler lives.
    Late,
    /// The step happens twice. The scheduler lives.
    Twice,
    /// The executor dies. The scheduler lives.
    ExecutorDies,
}

/// One place where something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// For people.
    pub name: &'static str,
    /// The line of the design's fault matrix it belongs to.
    pub line: &'static str,
    /// Where.
    pub step: Step,
    /// What.
    pub fault: Fault,
}

impl Point {
    /// An executor must die for it.
    pub fn takes_an_executor(self) -> bool {
        matches!(self.step, Step::Executor | Step::StoreEnd)
    }
}

const fn point(line: &'static str, name: &'static str, step: Step, fault: Fault) -> Point {
    Point { name, line, step, fault }
}

use Fault::*;
use Step::*;

/// All of them, in the order of a launch. M1 to M5 are those of the fault matrix (scheduler and Mesos), X1 that of a dead
/// executor.
pub const POINTS: [Point; 24] = [
    point("M1", "dies before SUBSCRIBED reaches it", Subscribed, DiesBefore),
    point("M1", "dies just after SUBSCRIBED", Subscribed, DiesAfter),
    point("M1", "dies before the framework id is stored", StoreFramework, DiesBefore),
    point("M1", "dies once the framework id is stored", StoreFramework, DiesUnaware),
    point("M2", "dies before the intent is stored", StoreIntent, DiesBefore),
    point("M3", "dies once the intent is stored", StoreIntent, DiesUnaware),
    point("M3", "dies with its ACCEPT on the way, which never arrives", Accept, DiesBefore),
    point("M4", "dies after its ACCEPT was taken, before the 202", Accept, DiesUnaware),
    point("M4", "dies just after the 202 to its ACCEPT", Accept, DiesAfter),
    point("M4", "its ACCEPT gets a 202 and is lost", Accept, Lost),
    point("M4", "its ACCEPT gets a 202 and arrives after the launch timeout", Accept, Late),
    point("M4", "its ACCEPT is taken, but the connection breaks before the 202", Accept, Unanswered),
    point("M5", "dies before an UPDATE reaches it", Update, DiesBefore),
    point("M5", "dies just after an UPDATE", Update, DiesAfter),
    point("M5", "an UPDATE is lost", Update, Lost),
    point("M5", "an UPDATE comes twice", Update, Twice),
    point("M5", "dies before RUNNING is stored", StoreRunning, DiesBefore),
    point("M5", "dies once RUNNING is stored", StoreRunning, DiesUnaware),
    point("M5", "dies with its ACKNOWLEDGE on the way, which never arrives", Acknowledge, DiesBefore),
    point("M5", "dies after its ACKNOWLEDGE was taken, before the 202", Acknowledge, DiesUnaware),
    point("M5", "its ACKNOWLEDGE gets a 202 and is lost", Acknowledge, Lost),
    point("X1", "an executor dies", Executor, ExecutorDies),
    point("X1", "dies before an executor's end is stored", StoreEnd, DiesBefore),
    point("X1", "dies once an executor's end is stored", StoreEnd, DiesUnaware),
];
