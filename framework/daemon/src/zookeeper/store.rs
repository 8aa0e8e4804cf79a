//! The records of the leading scheduler. Every transaction checks the leader's lock and the number of the transaction
//! before: a scheduler that has lost the leadership cannot write, and no transaction is done twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::{StreamExt as _, TryStreamExt as _, future::BoxFuture};
use millstream_scheduler::RecordChange;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use zookeeper_client::{Acl, Acls, CheckWriteError, CreateMode, Error, MultiReadResult, OwnedLockClient};

use super::tree::{self, Op, Transaction};
use crate::store::{Records, StateStore, StoreError};

/// Nodes read by one request: an answer of nodes as large as they may be stays at a few megabytes.
const READ_AT_ONCE: usize = 32;
/// Such requests under way: enough that ZooKeeper is busy.
const READS_AHEAD: usize = 16;

pub(super) struct Store {
    lock: Arc<OwnedLockClient>,
    root: String,
    /// Of new nodes.
    rights: Arc<[Acl]>,
    lost: CancellationToken,
    /// What is known of the tree; none when the outcome of a transaction is not known.
    known: Mutex<Option<Known>>,
}

struct Known {
    /// Version of the node of the records, which every transaction counts up.
    version: i32,
    /// All nodes of records and journal, by path below the root.
    nodes: BTreeSet<String>,
}

impl Store {
    pub(super) fn new(lock: Arc<OwnedLockClient>, root: String, rights: Arc<[Acl]>, lost: CancellationToken) -> Self {
        Store { lock, root, rights, lost, known: Mutex::new(None) }
    }

    fn path(&self, node: &str) -> String {
        format!("{}/{node}", self.root)
    }

    /// Looks at the tree, and finishes or forgets a batch that broke off.
    async fn look(&self) -> Result<Known, StoreError> {
        let mut known = self.seen().await?;
        let journal = known.nodes.iter().filter(|node| !node.starts_with(&format!("{}/", tree::RECORDS)));
        let journal = self.read(journal.cloned()).await?;
        for transaction in tree::recovery(&journal)? {
            self.commit(&mut known, transaction).await?;
        }
        Ok(known)
    }

    /// The tree as it is.
    async fn seen(&self) -> Result<Known, StoreError> {
        let client = self.lock.client();
        client.sync(&self.root).await?;
        let (_, stat) = client.get_data(&self.path(tree::RECORDS)).await?;
        let (journal, records) = (self.list(tree::JOURNAL).await?, self.list(tree::RECORDS).await?);
        Ok(Known { version: stat.version, nodes: journal.into_iter().chain(records).collect() })
    }

    /// Makes these the only records, all or nothing. A journal that cannot be read is given up: until the records are there,
    /// `mark` is, which no scheduler begins with.
    pub(super) async fn replace(&self, records: &Records, mark: &RecordChange) -> Result<(), StoreError> {
        let mut slot = self.known.lock().await;
        *slot = None;
        let mut known = match self.look().await {
            Err(error) if error.is_damage() => {
                let mut known = self.seen().await?;
                let given_up = tree::given_up(mark, &known.nodes);
                self.commit(&mut known, given_up).await?;
                self.look().await?
            }
            known => known?,
        };
        for transaction in tree::replacement(records, &known.nodes) {
            self.commit(&mut known, transaction).await?;
        }
        *slot = Some(known);
        Ok(())
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let names = self.lock.client().list_children(&self.path(folder)).await?;
        Ok(names.into_iter().map(|name| format!("{folder}/{name}")).collect())
    }

    async fn read(&self, nodes: impl IntoIterator<Item = String>) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let groups: Vec<Vec<String>> =
            nodes.into_iter().collect::<Vec<_>>().chunks(READ_AT_ONCE).map(<[_]>::to_vec).collect();
        let read = futures_util::stream::iter(groups).map(|group| self.read_group(group)).buffer_unordered(READS_AHEAD);
        Ok(read.try_collect::<Vec<_>>().await?.into_iter().flatten().collect())
    }

    async fn read_group(&self, nodes: Vec<String>) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut reader = self.lock.client().new_multi_reader();
        for node in &nodes {
            reader.add_get_data(&self.path(node))?;
        }
        let data = reader.commit().await?.into_iter().map(|result| match result {
            MultiReadResult::Data { data, .. } => Ok(data),
            MultiReadResult::Error { err } => Err(err),
            _ => Err(Error::RuntimeInconsistent),
        });
        Ok(nodes.into_iter().zip(data).map(|(node, data)| Ok((node, data?))).collect::<Result<_, Error>>()?)
    }

    /// One transaction, if this scheduler still leads and knows the tree as it is.
    async fn commit(&self, known: &mut Known, transaction: Transaction) -> Result<(), StoreError> {
        let mut writer = self.lock.new_check_writer();
        writer.add_set_data(&self.path(tree::RECORDS), &[], Some(known.version))?;
        for op in transaction {
            match op {
                Op::Put { node, data } if known.nodes.contains(&node) => {
                    writer.add_set_data(&self.path(&node), &data, None)?
                }
                Op::Put { node, data } => {
                    let options = CreateMode::Persistent.with_acls(Acls::new(&self.rights));
                    writer.add_create(&self.path(&node), &data, &options)?;
                    known.nodes.insert(node);
                }
                Op::Delete { node } if known.nodes.remove(&node) => writer.add_delete(&self.path(&node), None)?,
                Op::Delete { .. } => {}
            }
        }
        match writer.commit().await {
            Ok(_) => known.version = known.version.wrapping_add(1),
            Err(CheckWriteError::CheckFailed { source: Error::NoNode }) => {
                self.lost.cancel();
                return Err(StoreError::Lost);
            }
            Err(error) => return Err(Error::from(error).into()),
        }
        Ok(())
    }
}

impl StateStore for Store {
    fn load(&self) -> BoxFuture<'_, Result<Records, StoreError>> {
        Box::pin(async {
            let mut slot = self.known.lock().await;
            let known = self.look().await?;
            let records = tree::records(self.read(known.nodes.iter().cloned()).await?)?;
            *slot = Some(known);
            Ok(records)
        })
    }

    fn apply<'a>(&'a self, changes: &'a [RecordChange]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut slot = self.known.lock().await;
            // Taken out: whatever breaks off from here on leaves a tree that has to be looked at again.
            let mut known = match slot.take() {
                Some(known) => known,
                None => self.look().await?,
            };
            for transaction in tree::transactions(changes, &known.nodes) {
                self.commit(&mut known, transaction).await?;
            }
            *slot = Some(known);
            Ok(())
        })
    }
}
