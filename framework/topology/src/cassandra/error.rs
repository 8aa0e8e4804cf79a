//! What can go wrong with Cassandra, with a remedy for each.

use millstream_pipeline::cql::ParseTypeError;
use millstream_tls::{PemError, Trouble};
use scylla::errors::NewSessionError;

use crate::{SettingError, nearest::did_you_mean};

/// Why a sink cannot be reached or read.
#[derive(Debug, thiserror::Error)]
pub enum CassandraError {
    /// A name or password.
    #[error("a setting of [sink.cassandra] has no value")]
    Setting(#[from] SettingError),
    /// No node answers.
    #[error("no Cassandra node answers ({})", causes.join("; "))]
    Unreachable {
        /// `address: cause`, one for each contact point.
        causes: Vec<String>,
        /// What the driver says; none when it was still trying.
        #[source]
        source: Option<Box<NewSessionError>>,
    },
    /// Certificates or keys that are none.
    #[error("there can be no TLS to Cassandra")]
    Pem(#[from] PemError),
    /// A name that no certificate bears.
    #[error("`{name}` is no name that stands in a certificate")]
    TlsName {
        /// As it was given.
        name: String,
    },
    /// The nodes are not known, or do not want us.
    #[error("there is no TLS to Cassandra: {trouble}")]
    Tls {
        /// What it is.
        trouble: Trouble,
        /// What the driver says; none when it was still trying.
        #[source]
        source: Option<Box<NewSessionError>>,
    },
    /// The cluster wants to know who it is, or does not believe it.
    #[error("Cassandra refuses the login")]
    Login(#[source] Box<NewSessionError>),
    /// The preferred datacenter has no node.
    #[error("datacenter `{datacenter}` does not exist")]
    DatacenterMissing {
        /// The datacenter.
        datacenter: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// The keyspace is not there.
    #[error("keyspace `{keyspace}` does not exist")]
    KeyspaceMissing {
        /// The keyspace.
        keyspace: String,
        /// Keyspaces of similar names.
        nearest: Vec<String>,
    },
    /// The table is not there.
    #[error("table `{keyspace}.{table}` does not exist")]
    TableMissing {
        /// The keyspace.
        keyspace: String,
        /// The table.
        table: String,
        /// Tables of similar names in the keyspace.
        nearest: Vec<String>,
    },
    /// A column's type is not understood.
    #[error("column `{column}` of `{table}` has a type that is not understood")]
    Type {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Why.
        #[source]
        source: ParseTypeError,
    },
    /// A statement failed.
    #[error("Cassandra does not {what}")]
    Statement {
        /// What it should do: `read the schema`, `create …`.
        what: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CassandraError {
    pub(crate) fn statement(what: &str, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        CassandraError::Statement { what: what.to_owned(), source: Box::new(source) }
    }

    /// What to do about it, one line.
    pub fn remedy(&self) -> String {
        match self {
            CassandraError::Setting(error) => error.remedy(),
            CassandraError::Unreachable { .. } => {
                "check sink.cassandra.contact_points and that the nodes run; nodes that want TLS are named with \
                 [sink.cassandra.tls]"
                    .to_owned()
            }
            CassandraError::Pem(PemError::Elsewhere(error)) if let Some(error) = error.downcast_ref::<SettingError>() => {
                error.remedy()
            }
            CassandraError::Pem(_) => "correct [sink.cassandra.tls]: each is to be a text in PEM".to_owned(),
            CassandraError::TlsName { .. } => {
                "set sink.cassandra.tls.name to a name, or leave it out if certificates bear the nodes' addresses".to_owned()
            }
            CassandraError::Tls { trouble: Trouble::OtherName, .. } => {
                "set sink.cassandra.tls.name to the name in the nodes' certificates; without it they are to bear the nodes' \
                 addresses"
                    .to_owned()
            }
            CassandraError::Tls { trouble, .. } => format!("correct [sink.cassandra.tls]: {}", trouble.remedy()),
            CassandraError::Login(_) => {
                "set username and password in [sink.cassandra], as { env = \"…\" } or { file = \"…\" }".to_owned()
            }
            CassandraError::DatacenterMissing { known, .. } => {
                format!("set sink.cassandra.datacenter to one of: {}", known.join(", "))
            }
            CassandraError::KeyspaceMissing { keyspace, nearest } => did_you_mean(
                nearest,
                format!(
                    "create it: CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'NetworkTopologyStrategy', …}}"
                ),
            ),
            CassandraError::TableMissing { keyspace, table, nearest } => {
                // One of a similar name may be another job's: making this one is said all the same.
                let create = format!("create it: CREATE TABLE {keyspace}.{table} (…)");
                if nearest.is_empty() { create } else { did_you_mean(nearest, String::new()) + " Or " + &create }
            }
            CassandraError::Type { .. } => "use a table whose columns have CQL's own types".to_owned(),
            CassandraError::Statement { .. } => {
                "check that the nodes are up and that the job's user has the rights to it".to_owned()
            }
        }
    }
}
