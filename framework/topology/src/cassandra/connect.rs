//! Sessions from a job's sink.

use std::{sync::Arc, time::Duration};

use millstream_spec::{CassandraSink, Consistency as Wanted, Setting};
use scylla::{
    client::{execution_profile::ExecutionProfile, session::Session, session_builder::SessionBuilder},
    errors::{
        ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, MetadataError, NewSessionError,
    },
    policies::load_balancing::DefaultPolicy,
    statement::{Consistency, SerialConsistency},
};
use tokio::{task::spawn_blocking, time::timeout};
use tokio_rustls::rustls::ClientConfig;

use super::{CassandraError, tls};
use crate::{
    hosts::probe,
    settings::{SettingError, resolve},
};

/// Time to find a node that answers and to read the cluster's metadata; a cluster that is well takes well under a second.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Time for one connection to one node.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Default time for one statement. Cassandra itself gives up a write after 2 s, a schema change takes a few.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the session's process runs, in Cassandra's words: nodes there are asked first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Near {
    /// Datacenter. The sink's own `datacenter` goes before it.
    pub datacenter: Option<String>,
    /// Rack in that datacenter.
    pub rack: Option<String>,
}

/// Connects to the sink's cluster.
///
/// Statements go token-aware to the nearest replica, at the sink's consistency, conditional ones at SERIAL (delivery.md D1),
/// with the driver's default retries. Only the sink's keyspace is in the session's metadata. With a datacenter named, no
/// node of another is ever used.
pub async fn connect(sink: &CassandraSink, near: &Near) -> Result<Session, CassandraError> {
    let profile = ExecutionProfile::builder()
        .consistency(consistency(sink.consistency))
        .serial_consistency(Some(SerialConsistency::Serial))
        .request_timeout(Some(REQUEST_TIMEOUT))
        .load_balancing_policy(policy(sink, near))
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&sink.contact_points)
        .connection_timeout(CONNECTION_TIMEOUT)
        .keyspaces_to_fetch([&sink.keyspace])
        .default_execution_profile_handle(profile.into_handle());
    if sink.username.is_some() || sink.password.is_some() {
        builder = builder.user(text(&sink.username).await?, text(&sink.password).await?);
    }
    let tls = match &sink.tls {
        Some(tls) => Some(tls::config(tls).await?),
        None => None,
    };
    builder = builder.tls_context(tls.clone());
    match timeout(CONNECT_TIMEOUT, builder.build()).await {
        Ok(Ok(session)) => {
            check_datacenter(&session, sink)?;
            Ok(session)
        }
        Ok(Err(error)) if is_login(&error) => Err(CassandraError::Login(Box::new(error))),
        Ok(Err(error)) => Err(unreachable(sink, tls, Some(error)).await),
        Err(_) => Err(unreachable(sink, tls, None).await),
    }
}

async fn text(setting: &Option<Setting>) -> Result<String, CassandraError> {
    let Some(setting) = setting.clone() else { return Ok(String::new()) };
    Ok(spawn_blocking(move || resolve(&setting)).await.unwrap_or(Err(SettingError::Interrupted))?)
}

/// The driver's name of a consistency level.
pub fn consistency(wanted: Wanted) -> Consistency {
    match wanted {
        Wanted::LocalQuorum => Consistency::LocalQuorum,
        Wanted::Quorum => Consistency::Quorum,
        Wanted::EachQuorum => Consistency::EachQuorum,
        Wanted::LocalOne => Consistency::LocalOne,
        Wanted::One => Consistency::One,
        Wanted::Two => Consistency::Two,
        Wanted::Three => Consistency::Three,
        Wanted::All => Consistency::All,
    }
}

fn policy(sink: &CassandraSink, near: &Near) -> Arc<dyn scylla::policies::load_balancing::LoadBalancingPolicy> {
    let builder = DefaultPolicy::builder();
    // A rack is one of the process's own datacenter; in another it would be a namesake.
    let own = sink.datacenter.is_none() || sink.datacenter == near.datacenter;
    match (sink.datacenter.as_ref().or(near.datacenter.as_ref()), near.rack.as_ref().filter(|_| own)) {
        (Some(datacenter), Some(rack)) => builder.prefer_datacenter_and_rack(datacenter.clone(), rack.clone()),
        (Some(datacenter), None) => builder.prefer_datacenter(datacenter.clone()),
        (None, _) => builder,
    }
    .build()
}

/// With an unknown datacenter every statement would fail with a text nobody understands.
fn check_datacenter(session: &Session, sink: &CassandraSink) -> Result<(), CassandraError> {
    let Some(datacenter) = &sink.datacenter else { return Ok(()) };
    let state = session.get_cluster_state();
    let mut known: Vec<String> = state.get_nodes_info().iter().filter_map(|node| node.datacenter.clone()).collect();
    known.sort();
    known.dedup();
    if known.contains(datacenter) {
        return Ok(());
    }
    Err(CassandraError::DatacenterMissing { datacenter: datacenter.clone(), known })
}

async fn unreachable(
    sink: &CassandraSink,
    tls: Option<Arc<ClientConfig>>,
    error: Option<NewSessionError>,
) -> CassandraError {
    if let Some(tls) = tls
        && let Some(trouble) = tls::trouble(tls, &sink.contact_points).await
    {
        return CassandraError::Tls { trouble, source: error.map(Box::new) };
    }
    CassandraError::Unreachable { causes: probe(&sink.contact_points).await, source: error.map(Box::new) }
}

fn is_login(error: &NewSessionError) -> bool {
    let NewSessionError::MetadataError(MetadataError::ConnectionPoolError(ConnectionPoolError::Broken {
        last_connection_error: ConnectionError::ConnectionSetupRequestError(setup),
    })) = error
    else {
        return false;
    };
    matches!(
        setup.error,
        ConnectionSetupRequestErrorKind::DbError(DbError::AuthenticationError | DbError::Unauthorized, _)
            | ConnectionSetupRequestErrorKind::MissingAuthentication
            | ConnectionSetupRequestErrorKind::StartAuthSessionError(_)
            | ConnectionSetupRequestErrorKind::AuthChallengeEvaluationError(_)
            | ConnectionSetupRequestErrorKind::AuthFinishError(_)
    )
}
