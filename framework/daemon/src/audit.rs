//! What happened, as log lines: fields with the same keys everywhere, rare things loud, frequent ones quiet.

use millstream_scheduler::{Audit, EndCause, Reply};
use tracing::{debug, error, info, trace, warn};

use crate::metrics::label;

/// Logs one event.
pub(crate) fn log(audit: &Audit) {
    match audit {
        Audit::Subscribed { framework_id, known: true, tasks } => {
            info!(framework = framework_id, tasks, "tasks taken over");
        }
        Audit::Subscribed { framework_id, .. } => info!(framework = framework_id, "a new framework"),
        Audit::Disconnected => info!("offers are void until the next subscription; tasks run on"),
        Audit::FrameworkRemoved { tasks } => error!(tasks, "framework forgotten, with all its tasks"),
        Audit::Suppressed => debug!("no offers wanted"),
        Audit::Revived => debug!("offers wanted"),
        Audit::WishesTold { sizes, groups, revocable } => debug!(sizes, groups, revocable, "wishes told to the master"),
        Audit::OffersAccepted { agent, role, offers, tasks } => debug!(agent, role, offers, tasks, "offers accepted"),
        Audit::OffersDeclined { agent, role, offers, reason, refuse_secs } => {
            debug!(agent, role, offers, %reason, refuse_secs, "offers declined");
        }
        Audit::OfferRescinded { offer } => trace!(offer, "offer rescinded"),
        Audit::InverseOfferAccepted { agent, tasks, start_ms } => {
            info!(agent, tasks, start_ms, "maintenance accepted: its tasks will be gone by then");
        }
        Audit::InverseOfferDeclined { agent, tasks, reason } => warn!(agent, tasks, reason, "maintenance declined"),
        Audit::InverseOfferRescinded { offer } => debug!(offer, "inverse offer rescinded"),
        Audit::MaintenanceDrain { agent, tasks } => info!(agent, tasks, "tasks leave before a maintenance"),
        Audit::MaintenanceCancelled { agent } => info!(agent, "maintenance cancelled; tasks stay"),
        Audit::Report { job, executor } => trace!(job, executor, "report"),
        Audit::Reconciling { tasks } => debug!(tasks, "reconciling"),
        Audit::ReconcilingAll => debug!("reconciling everything"),
        Audit::ReportRefused { executor, agent, error } => warn!(executor, agent, error, "report refused"),
        Audit::PartitionChanged { job, partition, status, reason } => {
            let reason = (!reason.is_empty()).then_some(reason);
            info!(job, partition, status = label(status), reason, "partition changed");
        }
        Audit::SchedulerStalled { gap_ms } => warn!(gap_ms, "the scheduler itself was held up; deadlines move along"),
        Audit::ManySilent { executors, of } => {
            warn!(
                executors,
                of,
                "most executors are silent at once: the scheduler, the master or the machines are slow; waiting longer"
            );
        }
        task => log_task(task),
    }
}

fn log_task(audit: &Audit) {
    match audit {
        Audit::TaskLaunched { job, slot, task, executor, agent, source_tier, sink_tier } => {
            info!(job, slot, task, executor, agent, %source_tier, %sink_tier, "task launched");
        }
        Audit::TaskChanged { job, task, agent, state } => {
            info!(job, task, agent, state = label(state), "task changed");
        }
        Audit::TaskEnded { job, slot, task, agent, cause: EndCause::Drained, .. } => {
            info!(job, slot, task, agent, "task drained");
        }
        Audit::TaskEnded { job, slot, task, agent, cause, message, retry_in_ms, .. } if cause.is_operators() => {
            info!(
                job,
                slot,
                task,
                agent,
                cause = cause.as_str(),
                why = message,
                retry_in_ms,
                "task ended by an operator"
            );
        }
        Audit::TaskEnded { job, slot, task, agent, cause, state, message, retry_in_ms } => {
            let (cause, state) = (cause.as_str(), state.as_ref().map(label));
            // A field `message` would be taken for the event's own.
            warn!(job, slot, task, agent, cause, state, why = message, retry_in_ms, "task ended");
        }
        Audit::CondemnedEnded { job, task, agent } => info!(job, task, agent, "condemned task ended"),
        Audit::LaunchTimeout { job, task, agent } => warn!(job, task, agent, "no word of a launch; asking the master"),
        Audit::ExecutorLost { job, executor, agent, cause, tasks } => {
            warn!(job, executor, agent, cause = cause.as_str(), tasks, "executor lost");
        }
        Audit::VolumeMade { job, slot, volume, agent, size_bytes } => {
            info!(job, slot, volume, agent, size_bytes, "volume made");
        }
        Audit::VolumeGivenUp { job, slot, volume, agent } => info!(job, slot, volume, agent, "volume given up"),
        Audit::VolumeRemoved { volume, agent } => info!(volume, agent, "volume is destroyed"),
        Audit::OperationFailed { operation, state, message } => {
            warn!(operation, state = label(state), why = message, "operation failed");
        }
        Audit::AgentLost { agent, executors } => warn!(agent, executors, "agent lost"),
        Audit::UnknownTask { task, agent } => warn!(task, agent, "unknown task killed"),
        Audit::UnknownExecutor { executor, agent } => warn!(executor, agent, "unknown executor shut down"),
        job => log_job(job),
    }
}

fn log_job(audit: &Audit) {
    match audit {
        Audit::JobDeployed { job, generation, reply } => {
            info!(job, generation, outcome = deployed(reply), "job deployed")
        }
        Audit::JobStarted { job, generation } => info!(job, generation, "job started"),
        Audit::JobDraining { job, tasks } => info!(job, tasks, "job drains"),
        // A change of tasks or placement only leaves the generation as it is.
        Audit::RolloutStarted { job, from, to, tasks } if from == to => {
            info!(job, generation = to, tasks, "job changes task by task");
        }
        Audit::RolloutStarted { job, from, to, tasks } => info!(job, from, to, tasks, "job changes task by task"),
        Audit::RolloutStep { job, slot, generation } => info!(job, slot, generation, "task changes"),
        Audit::RolloutDone { job, generation } => info!(job, generation, "job changed"),
        Audit::RolledBack { job, from, to, reason } if from == to => {
            warn!(job, generation = to, reason, "job goes back to what ran before");
        }
        Audit::RolledBack { job, from, to, reason } => warn!(job, from, to, reason, "job goes back to what ran before"),
        Audit::StopKept { job, partition, offset, reason } => {
            warn!(job, partition, offset, reason, "partition stays stopped until a person acts");
        }
        Audit::StopEnded { job, partition, offset } => info!(job, partition, offset, "partition is no longer stopped"),
        Audit::CrashRepeats { job, partition, offset, crashes } => {
            error!(job, partition, offset, crashes, "tasks crash again and again without getting beyond this offset");
        }
        Audit::SourceGone { job, reason } => error!(job, reason, "topic is gone"),
        Audit::SourceBack { job } => info!(job, "topic can be read again"),
        Audit::JobStopped { job } => info!(job, "job stopped"),
        Audit::JobDeleted { job } => info!(job, "job deleted"),
        Audit::SlotsMade { job, slots, partitions } => info!(job, slots, partitions, "partitions divided"),
        other => info!(event = serde_json::to_string(other).unwrap_or_default(), "event"),
    }
}

fn deployed(reply: &Reply) -> &'static str {
    match reply {
        Reply::Started { .. } => "it starts",
        Reply::TextOnly => "only its text differs, nothing restarts",
        Reply::Updating { rolling: true, .. } => "it changes task by task",
        Reply::Updating { .. } => "its tasks drain, then it starts anew",
        _ => "nothing changes",
    }
}
