//! `millstream jobs`

use millstream_daemon::api::Jobs;

use super::word;
use crate::table::{Table, count, duration};

pub(super) fn text(Jobs { jobs, note }: &Jobs) -> String {
    let note = note.as_ref().map(|note| format!("note: {note}\n")).unwrap_or_default();
    if jobs.is_empty() {
        return "no jobs; `millstream deploy jobs/flights.toml` starts one\n".to_owned() + &note;
    }
    let mut table = Table::new(&[
        "JOB",
        "PHASE",
        ">TASKS",
        ">PARTITIONS",
        ">LAG",
        ">BEHIND",
        ">RECORDS/S",
        ">ROWS*",
        ">BAD*",
        "SUMMARY",
    ]);
    for job in jobs {
        let bad = job.bad_records.skipped + job.bad_records.dead_lettered;
        table.row([
            job.name.clone(),
            word(&job.phase),
            format!("{}/{}", job.running, job.slots),
            count(job.partitions),
            count(job.lag_records),
            duration(job.lag_ms),
            count(Some(job.records_per_sec.round() as u64)),
            count(Some(job.rows)),
            count(Some(bad)),
            job.summary.clone(),
        ]);
    }
    table.render() + "* since the tasks that run now have started\n" + &note
}
