//! Compares what the store wants, what the master thinks and what really runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;

use super::executor::TASKS;

/// States of a task that has not ended.
const LIVING: [&str; 4] = ["TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLING"];

/// A process that runs in a sandbox of the trial.
struct Process {
    pid: String,
    framework: String,
    executor: String,
    /// What it runs, in its own words.
    tasks: Vec<String>,
}

/// What is wrong, in sentences; empty when each slot has exactly one live task, nothing else lives, and the master has one
/// active framework.
pub async fn complaints(records: &BTreeMap<String, Value>, master_url: &str, work_dir: &Path) -> Vec<String> {
    let processes = processes(work_dir);
    let mut wrong = vec![];
    let framework = records.get("framework").and_then(|record| record["id"].as_str()).unwrap_or("none");
    let current = current_tasks(records, &mut wrong);
    check_processes(records, framework, &current, &processes, &mut wrong);
    check_master(&get(&format!("{master_url}/state")).await, framework, &current, &mut wrong);
    wrong
}

/// Task of each slot, with its executor.
fn current_tasks(records: &BTreeMap<String, Value>, wrong: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut current = BTreeMap::new();
    for (key, slot) in records.iter().filter(|(key, _)| key.starts_with("slot/")) {
        let Some(id) = slot["task"].as_str() else {
            wrong.push(format!("{key} has no task"));
            continue;
        };
        let task = records.get(&format!("task/{id}")).unwrap_or(&Value::Null);
        // As long as an UPDATE is on its way it may be TASK_STAGING there; that it runs its executor says.
        if !LIVING.iter().any(|state| task["state"] == *state) || task["aim"] != "run" {
            wrong.push(format!(
                "{key}: the store has its task {id} in state {} with aim {}",
                task["state"], task["aim"]
            ));
        }
        let executor = task["executor"].as_str().unwrap_or_default().to_owned();
        if current.insert(id.to_owned(), executor).is_some() {
            wrong.push(format!("{id} is the task of two slots"));
        }
    }
    current
}

fn check_processes(
    records: &BTreeMap<String, Value>,
    framework: &str,
    current: &BTreeMap<String, String>,
    processes: &[Process],
    wrong: &mut Vec<String>,
) {
    let mut alive: BTreeMap<&str, usize> = current.keys().map(|task| (task.as_str(), 0)).collect();
    for Process { pid, framework: theirs, executor, tasks } in processes {
        if theirs != framework {
            wrong.push(format!("orphan: process {pid} ({executor}) is of framework {theirs}, not {framework}"));
        }
        if !records.contains_key(&format!("executor/{executor}")) {
            wrong.push(format!("orphan: process {pid} is executor {executor}, which the store does not know"));
        }
        if tasks.is_empty() {
            wrong.push(format!("orphan: process {pid} ({executor}) runs without a task"));
        }
        for task in tasks {
            if current.get(task) != Some(executor) {
                wrong.push(format!("orphan: process {pid} ({executor}) runs {task}, which is no slot's task there"));
            }
            *alive.entry(task).or_default() += 1;
        }
    }
    let not_once = alive.iter().filter(|(_, count)| **count != 1);
    wrong.extend(not_once.map(|(task, count)| format!("task {task} is alive in {count} processes")));
}

fn check_master(state: &Value, framework: &str, current: &BTreeMap<String, String>, wrong: &mut Vec<String>) {
    let frameworks = || state["frameworks"].as_array().into_iter().flatten();
    let active: Vec<_> = frameworks().filter(|theirs| theirs["active"] == true).map(|theirs| &theirs["id"]).collect();
    if active != [framework] {
        wrong.push(format!("the master has the active frameworks {active:?}, the store {framework}"));
    }
    let tasks = frameworks().flat_map(|theirs| theirs["tasks"].as_array().into_iter().flatten());
    let living = tasks.filter(|task| LIVING.iter().any(|state| task["state"] == *state));
    let living: BTreeSet<_> = living.filter_map(|task| task["id"].as_str()).collect();
    let wanted: BTreeSet<_> = current.keys().map(String::as_str).collect();
    if living != wanted {
        wrong.push(format!("the master has the living tasks {living:?}, the slots {wanted:?}"));
    }
    for theirs in frameworks().filter(|theirs| theirs["id"] != framework) {
        if theirs["executors"].as_array().is_some_and(|executors| !executors.is_empty()) {
            wrong.push(format!("the forgotten framework {} has executors", theirs["id"]));
        }
    }
}

/// All that run in a sandbox. A zombie has no folder any more.
fn processes(work_dir: &Path) -> Vec<Process> {
    let pids = std::fs::read_dir("/proc").expect("proc is mounted").flatten();
    let process = |entry: std::fs::DirEntry| {
        let pid = entry.file_name().into_string().ok().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))?;
        let sandbox: PathBuf = std::fs::read_link(entry.path().join("cwd")).ok()?;
        let inside = sandbox.strip_prefix(work_dir).ok()?;
        let mut parts = inside.components().skip(1).map(|part| part.as_os_str().to_string_lossy().into_owned());
        let (framework, executor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let tasks = std::fs::read_to_string(sandbox.join(TASKS)).unwrap_or_default();
        Some(Process { pid, framework, executor, tasks: tasks.lines().map(String::from).collect() })
    };
    pids.filter_map(process).collect()
}

async fn get(url: &str) -> Value {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let response = client.get(url.parse().expect("a valid URL")).await.expect("the master answers");
    let body = response.into_body().collect().await.expect("its answer ends").to_bytes();
    serde_json::from_slice(&body).expect("JSON")
}
