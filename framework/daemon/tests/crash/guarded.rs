//! A scheduler's way to its store, on which it may die.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, ready},
};
use millstream_daemon::store::{Memory, StateStore, StoreError};
use millstream_scheduler::RecordChange;
use serde_json::Value;

use super::{points::Step, script::Life};

/// The store as one scheduler process sees it.
pub struct Guarded {
    /// Outlives the process.
    pub store: Arc<Memory>,
    /// The process.
    pub life: Life,
}

impl StateStore for Guarded {
    fn load(&self) -> BoxFuture<'_, Result<BTreeMap<String, Value>, StoreError>> {
        self.store.load()
    }

    fn apply<'a>(&'a self, changes: &'a [RecordChange]) -> BoxFuture<'a, Result<(), StoreError>> {
        let keys: Vec<_> = changes.iter().map(describe).collect();
        let what = format!("store {}", keys.join(" "));
        let apply = || self.store.apply(changes).now_or_never().expect("memory is ready at once");
        let applied = self.life.write(step(changes), &what, apply);
        let dead =
            || StoreError::Folder { path: "nowhere".into(), source: std::io::Error::other("the process is dead") };
        Box::pin(ready(applied.unwrap_or_else(|| Err(dead()))))
    }
}

/// What a batch is about.
fn step(changes: &[RecordChange]) -> Option<Step> {
    let any = |is: fn(&str, &Value) -> bool| {
        changes.iter().any(|change| change.value.as_ref().is_some_and(|value| is(&change.key, value)))
    };
    if any(|key, _| key == "framework") {
        Some(Step::StoreFramework)
    } else if any(|key, value| key.starts_with("slot/") && value["task"].is_null()) {
        Some(Step::StoreEnd)
    } else if any(|key, value| is_wanted(key, value, "TASK_STAGING")) {
        Some(Step::StoreIntent)
    } else if any(|key, value| is_wanted(key, value, "TASK_RUNNING")) {
        Some(Step::StoreRunning)
    } else {
        None
    }
}

/// A task that shall run and is in this state.
fn is_wanted(key: &str, value: &Value, state: &str) -> bool {
    key.starts_with("task/") && value["state"] == state && value["aim"] == "run"
}

fn describe(change: &RecordChange) -> String {
    let Some(value) = &change.value else { return format!("-{}", change.key) };
    let shown = ["state", "aim", "task", "lost", "next", "id"].into_iter().filter_map(|field| {
        let value = value.get(field).filter(|value| !value.is_object())?;
        Some(format!("{field}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
    });
    format!("{}[{}]", change.key, shown.collect::<Vec<_>>().join(","))
}
