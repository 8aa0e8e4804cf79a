//! States in folders, backed up, restored and moved: what is there, what breaks off, who is in the way. ZooKeeper is for
//! tests/e2e.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use millstream_daemon::{
    chain,
    state::{self, Backup, Place, StateError, file},
    store::{Records, Redb, StateStore as _},
};
use millstream_scheduler::RecordChange;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The records of every kind that release 0.1 stored.
fn records() -> Records {
    Backup::decode("1.jsonl", &include_bytes!("backups/1.jsonl")[..]).expect("a backup").records
}

/// The same under other numbers: which a restore gives.
fn leapt(mut records: Records) -> Records {
    let next = records["counter"]["next"].as_u64().expect("a number");
    records.insert("counter".into(), json!({ "next": next + 1_000_000_000 }));
    records
}

async fn apply(folder: &Path, changes: &[(&str, Option<Value>)]) {
    let change = |(key, value): &(&str, Option<Value>)| RecordChange { key: (*key).into(), value: value.clone() };
    let changes: Vec<_> = changes.iter().map(change).collect();
    Redb::open(folder).expect("a state").apply(&changes).await.expect("applied");
}

async fn with_state(records: &Records) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let changes: Vec<_> = records.iter().map(|(key, value)| (key.as_str(), Some(value.clone()))).collect();
    apply(dir.path(), &changes).await;
    dir
}

async fn load(folder: &Path) -> Records {
    Redb::open(folder).expect("a state").load().await.expect("read")
}

fn place(folder: &Path) -> Place {
    Place::Folder(folder.to_owned())
}

fn backup_of(records: Records) -> Backup {
    Backup::now("somewhere".into(), records)
}

fn said<T>(result: Result<T, StateError>) -> String {
    chain(&result.err().expect("it is refused"))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_through_a_file_into_an_empty_folder() {
    let from = with_state(&records()).await;
    let (backup, moved_to) = state::backup(&place(from.path())).await.expect("a backup");
    assert_eq!((&backup.records, moved_to), (&records(), None));
    let file = from.path().join("b.jsonl");
    file::write(&file, &backup.encode(), false).expect("written");
    let read = file::read(&file).expect("read");
    assert_eq!(read, backup);

    let to = tempfile::tempdir().expect("a folder");
    let to = to.path().join("not/yet/there");
    state::restore(&place(&to), read, false).await.expect("restored");
    assert_eq!(load(&to).await, leapt(records()));
    assert_eq!(names(&to), ["state.marker", "state.redb"]);
    assert_eq!(load(from.path()).await, records(), "as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_there_is_nothing_to_back_up_and_nothing_is_made() {
    let dir = tempfile::tempdir().expect("a folder");
    let nowhere = dir.path().join("nowhere");
    for folder in [dir.path(), &nowhere] {
        let text = said(state::backup(&place(folder)).await);
        assert!(text.contains("there is no state in") && text.contains("--state"), "{text}");
    }
    assert_eq!(names(dir.path()), [] as [&str; 0]);
    // A scheduler that has never stored anything.
    drop(Redb::open(dir.path()).expect("a new one"));
    said(state::backup(&place(dir.path())).await);
    // A file where a folder should be.
    fs::write(&nowhere, "x").expect("written");
    said(state::backup(&place(&nowhere)).await);
    said(state::restore(&place(&nowhere), backup_of(records()), true).await);
    assert_eq!(fs::read(&nowhere).expect("there"), b"x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_there_is_replaced_only_by_force_and_kept_beside() {
    let other = Records::from([("framework".to_owned(), json!({ "id": "other" }))]);
    let dir = with_state(&other).await;
    let text = said(state::restore(&place(dir.path()), backup_of(records()), false).await);
    assert!(text.contains("framework other, 0 jobs, 1 record") && text.contains("--force"), "{text}");
    assert_eq!(load(dir.path()).await, other);
    let restored = state::restore(&place(dir.path()), backup_of(records()), true).await.expect("by force");
    assert_eq!(load(dir.path()).await, leapt(records()));
    let aside = restored.aside.expect("it is kept");
    let before = tempfile::tempdir().expect("a folder");
    fs::copy(aside, before.path().join("state.redb")).expect("copied");
    assert_eq!(load(before.path()).await, other);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_or_damaged_is_what_a_backup_is_for() {
    let dir = with_state(&records()).await;
    let file = dir.path().join("state.redb");
    for gone in [None, Some(&b""[..])] {
        let _ = fs::remove_file(&file);
        gone.into_iter().for_each(|bytes| fs::write(&file, bytes).expect("written"));
        assert!(said(state::backup(&place(dir.path())).await).contains("emptied:"));
        let text = Redb::open(dir.path()).err().expect("emptied").to_string();
        assert!(text.contains("millstream state restore FILE --state"), "{text}");
        state::restore(&place(dir.path()), backup_of(records()), false).await.expect("nothing to lose");
        assert_eq!(load(dir.path()).await, leapt(records()));
    }
    let whole = fs::read(&file).expect("there");
    for damaged in [&whole[..whole.len() / 2], b"no database at all", &[0; 5_000]] {
        fs::write(&file, damaged).expect("written");
        assert!(said(state::backup(&place(dir.path())).await).contains("damaged:"));
        let text = said(state::restore(&place(dir.path()), backup_of(records()), false).await);
        assert!(text.contains("--force") && text.contains("damaged:"), "{text}");
        assert_eq!(fs::read(&file).expect("there"), damaged, "as it was");
        let restored = state::restore(&place(dir.path()), backup_of(records()), true).await.expect("by force");
        assert_eq!(fs::read(restored.aside.expect("kept")).expect("there"), damaged);
        assert_eq!(load(dir.path()).await, leapt(records()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_works_on_a_state_that_somebody_works_on() {
    let dir = with_state(&records()).await;
    let scheduler = Redb::open(dir.path()).expect("a state");
    let in_use = |error: StateError| matches!(&error, StateError::Store(error) if error.is_in_use());
    let elsewhere = tempfile::tempdir().expect("a folder");
    assert!(in_use(state::backup(&place(dir.path())).await.expect_err("it runs")));
    assert!(in_use(state::restore(&place(dir.path()), backup_of(records()), true).await.expect_err("it runs")));
    assert!(in_use(state::move_state(&place(dir.path()), &place(elsewhere.path())).await.expect_err("it runs")));
    let from = with_state(&records()).await;
    assert!(in_use(state::move_state(&place(from.path()), &place(dir.path())).await.expect_err("it runs")));
    drop(scheduler);
    assert_eq!((load(dir.path()).await, load(from.path()).await), (records(), records()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn of_restores_at_once_one_is_whole_and_the_others_are_refused_or_come_after_it() {
    let dir = tempfile::tempdir().expect("a folder");
    for round in 0..10 {
        let folder = dir.path().join(round.to_string());
        let restores = (0..6).map(|number| {
            let folder = folder.clone();
            tokio::spawn(async move {
                let mut records = records();
                records.insert("retired/who".into(), json!({ "generation": number }));
                state::restore(&place(&folder), backup_of(records), false).await.is_ok()
            })
        });
        let mut done = 0;
        for restore in restores.collect::<Vec<_>>() {
            done += usize::from(restore.await.expect("no panic"));
        }
        assert_eq!(done, 1, "all others find it there, or are kept off");
        assert_eq!(load(&folder).await.len(), records().len() + 1);
        assert_eq!(names(&folder), ["state.marker", "state.redb"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_only_linked_stays_where_it_is() {
    let (disk, dir) = (tempfile::tempdir().expect("a folder"), with_state(&records()).await);
    let (link, file) = (dir.path().join("state.redb"), disk.path().join("large-disk.redb"));
    fs::rename(&link, &file).or_else(|_| fs::copy(&link, &file).map(drop)).expect("moved");
    std::os::unix::fs::symlink(&file, &link).expect("a link");
    state::restore(&place(dir.path()), backup_of(records()), true).await.expect("by force");
    assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    assert_eq!(load(dir.path()).await, leapt(records()));
    // Nothing is written through what somebody has put into the way.
    let victim = disk.path().join("victim");
    fs::write(&victim, "x").expect("written");
    std::os::unix::fs::symlink(&victim, disk.path().join("state.redb.new")).expect("a link");
    state::restore(&place(dir.path()), backup_of(records()), true).await.expect("by force");
    assert_eq!(fs::read(&victim).expect("there"), b"x");
}

async fn moved(from: &Path, to: &Path) -> bool {
    !state::move_state(&place(from), &place(to)).await.expect("moved").before
}

/// What a scheduler would say that is started there.
async fn begins(folder: &Path) -> Result<(), String> {
    let keys: Vec<String> = load(folder).await.into_keys().collect();
    match keys.iter().find(|key| ["moved", "unfinished"].contains(&key.as_str())) {
        Some(mark) => Err(mark.clone()),
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_leaves_one_place_to_begin_at_and_comes_back() {
    let (a, b) = (with_state(&records()).await, tempfile::tempdir().expect("a folder"));
    assert!(moved(a.path(), b.path()).await);
    assert_eq!(load(b.path()).await, records(), "numbers stay: it is the same state");
    assert_eq!((begins(a.path()).await, begins(b.path()).await), (Err("moved".into()), Ok(())));
    assert!(!moved(a.path(), b.path()).await, "it is done");
    // What stayed can still be looked at, and is said to be old.
    let (old, moved_to) = state::backup(&place(a.path())).await.expect("a backup");
    assert_eq!((old.records, moved_to.is_some()), (records(), true));
    let c = tempfile::tempdir().expect("a folder");
    assert!(said(state::move_state(&place(a.path()), &place(c.path())).await).contains("moved:"), "not twice");
    assert!(said(state::move_state(&place(b.path()), &place(b.path())).await).contains("is where the state is"));

    apply(b.path(), &[("retired/later", Some(json!({ "generation": 9 })))]).await;
    assert!(!moved(a.path(), b.path()).await, "what has become of it since is not touched");
    assert!(moved(b.path(), a.path()).await);
    assert!(load(a.path()).await.contains_key("retired/later"));
    assert_eq!((begins(a.path()).await, begins(b.path()).await), (Ok(()), Err("moved".into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_goes_only_where_no_other_state_is() {
    let other = Records::from([("framework".to_owned(), json!({ "id": "other" }))]);
    let (a, b) = (with_state(&records()).await, with_state(&other).await);
    assert!(said(state::move_state(&place(a.path()), &place(b.path())).await).contains("framework other"));
    assert_eq!((load(a.path()).await, load(b.path()).await), (records(), other));
}

/// Each step of a move is followed by a crash: at no moment could two schedulers begin, and the same command ends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_broke_off_is_done_again_by_the_same_command() {
    let name = |dir: &TempDir| fs::canonicalize(dir.path()).expect("there").display().to_string();
    for copied in [false, true] {
        for marked in [false, true] {
            if marked && !copied {
                continue;
            }
            let (a, b) = (with_state(&records()).await, tempfile::tempdir().expect("a folder"));
            if copied {
                let mut copy = records();
                copy.insert("unfinished".into(), json!({ "from": name(&a) }));
                copy.insert("retired/old".into(), json!({ "generation": 1 }));
                let changes: Vec<_> = copy.iter().map(|(key, value)| (key.as_str(), Some(value.clone()))).collect();
                apply(b.path(), &changes).await;
                assert_eq!(begins(b.path()).await, Err("unfinished".into()));
                let error = said(state::move_state(&place(b.path()), &place(a.path())).await);
                assert!(error.contains("unfinished:") && error.contains("again"), "{error}");
                assert!(said(state::backup(&place(b.path())).await).contains("unfinished:"));
            }
            if marked {
                apply(a.path(), &[("moved", Some(json!({ "to": name(&b) })))]).await;
            }
            assert!(moved(a.path(), b.path()).await);
            assert_eq!(load(b.path()).await, records());
            assert_eq!(begins(a.path()).await, Err("moved".into()));
            assert!(!moved(a.path(), b.path()).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_moved_away_and_is_gone_there_is_not_taken_from_what_stayed() {
    let (a, b) = (with_state(&records()).await, tempfile::tempdir().expect("a folder"));
    assert!(moved(a.path(), b.path()).await);
    fs::remove_file(b.path().join("state.redb")).expect("there");
    assert!(said(state::move_state(&place(a.path()), &place(b.path())).await).contains("emptied:"));
    fs::remove_file(b.path().join("state.redb")).expect("made for its lock");
    fs::remove_file(b.path().join("state.marker")).expect("there");
    assert!(said(state::move_state(&place(a.path()), &place(b.path())).await).contains("moved:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_room_changes_nothing() {
    let dir = with_state(&records()).await;
    // A folder in which nothing can be made is one that has no room; root may write to any.
    let new = dir.path().join("state.redb.new");
    fs::create_dir_all(new.join("in-its-way")).expect("a folder");
    let text = said(state::restore(&place(dir.path()), backup_of(records()), true).await);
    assert!(text.contains("cannot use the state folder"), "{text}");
    assert_eq!(load(dir.path()).await, records());
}

/// Somebody's lock is redb's lock, whichever release of redb it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_without_a_file_is_kept_from_schedulers_while_it_is_restored() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().to_owned();
    let stop = Arc::new(AtomicBool::new(false));
    let racing = thread::spawn({
        let stop = stop.clone();
        move || {
            // On until it has come through once: a busy machine may give all turns to the other.
            let mut opened = false;
            while !opened || !stop.load(Ordering::Relaxed) {
                opened |= Redb::open(&folder).is_ok();
            }
            opened
        }
    });
    // Whoever wins, the state is whole: the backup's, or a new scheduler's in which the backup finds nothing to replace.
    let mut done = false;
    for _ in 0..50 {
        done |= state::restore(&place(dir.path()), backup_of(records()), false).await.is_ok();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(racing.join().expect("no panic"));
    assert!(done || state::restore(&place(dir.path()), backup_of(records()), false).await.is_ok());
    assert_eq!(load(dir.path()).await, leapt(records()));
}
