//! The table that is written, as a trait for the loop and as it is in Cassandra.

use std::{
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use millstream_pipeline::{Binding, RowKind, Transform};
use millstream_protocol::PartitionStatus;
use millstream_spec::{CassandraSink, Consistency as JobConsistency};
use millstream_topology::cassandra::consistency as consistency_of;
use scylla::{
    client::session::Session,
    errors::PrepareError,
    policies::retry::FallthroughRetryPolicy,
    statement::{
        Consistency,
        batch::{Batch, BatchStatement, BatchType},
        prepared::PreparedStatement,
        unprepared::Statement,
    },
};

use super::{
    fault::{Fault, judge},
    plan::CHUNK_ROWS_MAX,
    values::Values,
    work::Work,
};
use crate::engine::{Trouble, bind_table};

/// Cassandra gives a write up after 2 s by default; this only ends requests whose answer got lost.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(12);

/// Where requests go.
pub trait Target: Send + Sync + 'static {
    /// Sends one request, once.
    fn write(&self, work: &Work) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Compares the table with what rows are encoded for.
    fn check_schema(&self) -> impl Future<Output = Verdict> + Send;
}

/// What became of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it is the row.
    Same,
    /// The statements had to be prepared anew, and were.
    Renewed,
    /// The job can't be written to it as it is now: what differs.
    Unfit(String),
    /// It could not be read.
    Unknown(String),
    /// It fits, but differently from what is encoded: whoever watches the schema starts the executor anew.
    Changed(String),
}

/// A table in Cassandra.
pub struct Table {
    session: Arc<Session>,
    sink: CassandraSink,
    transform: Transform,
    binding: Binding,
    statements: RwLock<Arc<Statements>>,
}

/// Prepared statements, and batches of them by number of rows.
struct Statements {
    upsert: Prepared,
    delete: Prepared,
}

struct Prepared {
    statement: PreparedStatement,
    batches: Vec<OnceLock<Batch>>,
}

impl Table {
    /// Prepares the statements.
    pub async fn prepare(
        session: Arc<Session>,
        sink: CassandraSink,
        transform: Transform,
        binding: Binding,
    ) -> Result<Self, PrepareError> {
        let statements = RwLock::new(Arc::new(Statements::prepare(&session, &binding, sink.consistency).await?));
        Ok(Table { session, sink, transform, binding, statements })
    }

    fn statements(&self) -> Arc<Statements> {
        self.statements.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Target for Table {
    async fn write(&self, work: &Work) -> Result<(), Fault> {
        let statements = self.statements();
        let prepared = match work.kind {
            RowKind::Upsert => &statements.upsert,
            RowKind::Delete => &statements.delete,
        };
        let values = Values { work, has_ttl: self.binding.has_ttl() };
        let result = match work.rows().len() {
            1 => self.session.execute_unpaged(&prepared.statement, values).await,
            rows => self.session.batch(prepared.batch(rows), values).await,
        };
        result.map(|_| ()).map_err(|error| judge(&error))
    }

    async fn check_schema(&self) -> Verdict {
        // A node that has not heard of a change yet refuses what is right.
        match self.session.check_schema_agreement().await {
            Ok(Some(_)) => {}
            Ok(None) => return Verdict::Unknown("Cassandra's nodes do not agree on the schema yet".to_owned()),
            Err(error) => return Verdict::Unknown(error.to_string()),
        }
        let binding = match bind_table(&self.session, &self.sink, &self.transform).await {
            Ok(binding) => binding,
            Err(Trouble { status: PartitionStatus::Stopped, reason }) => return Verdict::Unfit(reason),
            Err(Trouble { reason, .. }) => return Verdict::Unknown(reason),
        };
        if binding.columns() != self.binding.columns() {
            let name = format!("{}.{}", self.sink.keyspace, self.sink.table);
            return Verdict::Changed(format!(
                "columns of {name} have another type or order than when the task started"
            ));
        }
        // Dropped and made again, a column or table has another identity: only statements prepared anew know it.
        match Statements::prepare(&self.session, &binding, self.sink.consistency).await {
            Err(error) => Verdict::Unknown(error.to_string()),
            Ok(fresh) => {
                let mut statements = self.statements.write().unwrap_or_else(PoisonError::into_inner);
                let same = statements.upsert.statement.get_id() == fresh.upsert.statement.get_id();
                *statements = Arc::new(fresh);
                if same { Verdict::Same } else { Verdict::Renewed }
            }
        }
    }
}

impl Statements {
    async fn prepare(
        session: &Session,
        binding: &Binding,
        consistency: JobConsistency,
    ) -> Result<Statements, PrepareError> {
        let consistency = consistency_of(consistency);
        Ok(Statements {
            upsert: Prepared::new(session, binding.upsert_cql(), consistency).await?,
            delete: Prepared::new(session, binding.delete_cql(), consistency).await?,
        })
    }
}

impl Prepared {
    async fn new(session: &Session, cql: String, consistency: Consistency) -> Result<Self, PrepareError> {
        let mut statement = session.prepare(Statement::new(cql)).await?;
        statement.set_consistency(consistency);
        statement.set_is_idempotent(true);
        statement.set_request_timeout(Some(REQUEST_TIMEOUT));
        statement.set_retry_policy(Some(Arc::new(FallthroughRetryPolicy::new())));
        let batches = (0..=CHUNK_ROWS_MAX).map(|_| OnceLock::new()).collect();
        Ok(Prepared { statement, batches })
    }

    /// A batch of `rows` times the statement, made once: cloning 128 statements costs more than serialising the rows.
    fn batch(&self, rows: usize) -> &Batch {
        self.batches[rows].get_or_init(|| {
            let statements = vec![BatchStatement::PreparedStatement(self.statement.clone()); rows];
            let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements);
            if let Some(consistency) = self.statement.get_consistency() {
                batch.set_consistency(consistency);
            }
            batch.set_is_idempotent(true);
            batch.set_request_timeout(Some(REQUEST_TIMEOUT));
            batch.set_retry_policy(Some(Arc::new(FallthroughRetryPolicy::new())));
            batch
        })
    }
}
