//! What must hold at every call a scheduler makes: persist, then act (ARCHITECTURE.md, invariant 2). The end of a trial does
//! not show it, as reconciliation heals most of what a broken promise leaves behind.

use std::collections::BTreeMap;

use serde_json::Value;

/// Which of them this call breaks, the store being as it is; in sentences.
pub fn broken(call: &Value, records: &BTreeMap<String, Value>) -> Vec<String> {
    let record = |task: &str| records.get(&format!("task/{task}"));
    match call["type"].as_str() {
        Some("ACCEPT") => {
            let unknown = launched(call).into_iter().filter(|task| record(task).is_none());
            unknown.map(|task| format!("{task} is launched before its intent is stored")).collect()
        }
        Some("ACKNOWLEDGE") => {
            let (task, uuid) = (&call["acknowledge"]["task_id"]["value"], &call["acknowledge"]["uuid"]);
            // One without a record has ended, or was never ours.
            let early = task.as_str().and_then(record).is_some_and(|record| record["last_uuid"] != *uuid);
            if early { vec![format!("an update of {task} is acknowledged before it is stored")] } else { vec![] }
        }
        _ => vec![],
    }
}

/// The tasks an ACCEPT launches.
pub fn launched(call: &Value) -> Vec<String> {
    let operations = call["accept"]["operations"].as_array().into_iter().flatten();
    let tasks = operations.flat_map(|operation| operation["launch"]["task_infos"].as_array().into_iter().flatten());
    tasks.filter_map(|task| Some(task["task_id"]["value"].as_str()?.to_owned())).collect()
}
