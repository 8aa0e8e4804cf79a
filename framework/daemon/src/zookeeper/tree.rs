//! How records lie in ZooKeeper, and how a batch of changes gets there whole. Pure: changes go in, transactions come out.
//!
//! ```text
//! records/<escaped key>         the first part of a record's JSON
//! records/<escaped key>~001     its further parts, if it is too large for one node
//! journal/000000, 000001, …     a batch that is too large for one transaction, in pieces
//! journal/commit                all pieces are there: the batch counts
//! ```
//!
//! A batch that fits is one transaction (ZooKeeper's `multi`). A larger one is first written to the journal, piece by
//! piece; the transaction that makes `journal/commit` is the one that makes it count. Then each piece is applied and
//! deleted in one transaction, so that wherever this breaks off, [`recovery`] finishes (or, without `commit`, forgets) it.

use std::collections::{BTreeMap, BTreeSet};

use millstream_scheduler::RecordChange;
use serde_json::Value;

use crate::store::{self, Records, StoreError, record};

/// Node of the records, below the root.
pub(super) const RECORDS: &str = "records";
/// Node of the journal, below the root.
pub(super) const JOURNAL: &str = "journal";

const COMMIT: &str = "journal/commit";

/// Most bytes of one node.
const NODE_BYTES_MAX: usize = 128 << 10;
/// Most bytes of one transaction. ZooKeeper takes four times as much as one request (`jute.maxbuffer`, 1 MiB by default), but it
/// keeps its last 500 transactions in memory (`zookeeper.commitLogCount`), whatever their size.
const TRANSACTION_BYTES_MAX: usize = 256 << 10;
/// What a change takes besides its name and data, at most: the root's path, access rights, lengths and flags.
const OP_BYTES: usize = 256;
/// Before the number of a further part; escaped in keys.
const PART: char = '~';

/// A change of one node; paths are below the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Op {
    /// It is made, or gets other data.
    Put { node: String, data: Vec<u8> },
    /// It is gone, if it was there.
    Delete { node: String },
}

/// What is done at once or not at all.
pub(super) type Transaction = Vec<Op>;

/// The transactions of a batch, in order. `nodes` are those that exist.
pub(super) fn transactions(changes: &[RecordChange], nodes: &BTreeSet<String>) -> Vec<Transaction> {
    batch(ops(changes, nodes))
}

/// The transactions that make these the only records, whatever is in the `nodes` that exist.
pub(super) fn replacement(records: &Records, nodes: &BTreeSet<String>) -> Vec<Transaction> {
    let mut ops = ops(&store::puts(records), nodes);
    let named: BTreeSet<&str> = ops.iter().map(Op::node).collect();
    let is_record = |node: &&String| node.strip_prefix(RECORDS).is_some_and(|rest| rest.starts_with('/'));
    let others = nodes.iter().filter(is_record).filter(|node| !named.contains(node.as_str()));
    let others: Vec<Op> = others.map(|node| Op::Delete { node: node.clone() }).collect();
    ops.extend(others);
    batch(ops)
}

/// The transaction that takes a batch out of a journal that cannot be read: what it has left half done says so from then on,
/// in this record.
pub(super) fn given_up(mark: &RecordChange, nodes: &BTreeSet<String>) -> Transaction {
    let commit = Op::Delete { node: COMMIT.into() };
    ops(std::slice::from_ref(mark), nodes).into_iter().chain([commit]).collect()
}

fn batch(ops: Vec<Op>) -> Vec<Transaction> {
    let pieces = pieces(ops);
    if pieces.len() <= 1 {
        return pieces;
    }
    let journal: BTreeMap<String, Vec<u8>> =
        pieces.iter().enumerate().map(|(number, piece)| (journal_node(number), encode(piece))).collect();
    let commit = Op::Put { node: COMMIT.into(), data: pieces.len().to_string().into_bytes() };
    let written = journal.into_iter().map(|(node, data)| vec![Op::Put { node, data }]);
    let applied =
        applied(pieces.into_iter().enumerate().map(|(number, piece)| (journal_node(number), piece)).collect());
    written.chain([vec![commit]]).chain(applied).collect()
}

/// The transactions that finish, or forget, the batch found in the journal. `journal` has its nodes by path.
pub(super) fn recovery(journal: &BTreeMap<String, Vec<u8>>) -> Result<Vec<Transaction>, StoreError> {
    if !journal.contains_key(COMMIT) {
        return Ok(journal.keys().map(|node| vec![Op::Delete { node: node.clone() }]).collect());
    }
    let pieces = journal.iter().filter(|(node, _)| *node != COMMIT);
    let pieces: Result<Vec<_>, _> = pieces
        .map(|(node, data)| match decode(data) {
            Some(piece) => Ok((node.clone(), piece)),
            None => Err(StoreError::Torn { node: node.clone() }),
        })
        .collect();
    Ok(applied(pieces?))
}

/// The records in these nodes, by key.
pub(super) fn records(nodes: BTreeMap<String, Vec<u8>>) -> Result<Records, StoreError> {
    let mut parts: BTreeMap<String, BTreeMap<usize, Vec<u8>>> = BTreeMap::new();
    for (node, data) in nodes {
        let torn = || StoreError::Torn { node: node.clone() };
        let name = node.strip_prefix(RECORDS).and_then(|rest| rest.strip_prefix('/')).ok_or_else(torn)?;
        let (name, number) = match name.split_once(PART) {
            Some((name, number)) => (name, number.parse().map_err(|_| torn())?),
            None => (name, 0),
        };
        let key = unescape(name).ok_or_else(torn)?;
        parts.entry(key).or_default().insert(number, data);
    }
    let record = |(key, parts): (String, BTreeMap<usize, Vec<u8>>)| {
        if parts.keys().copied().ne(0..parts.len()) {
            return Err(StoreError::Torn { node: record_node(&key, 0) });
        }
        let text: Vec<u8> = parts.into_values().flatten().collect();
        record::decode(&key, &text).map(|value| (key, value))
    };
    parts.into_iter().map(record).collect()
}

/// The changes of nodes that changes of records are.
fn ops(changes: &[RecordChange], nodes: &BTreeSet<String>) -> Vec<Op> {
    let last: BTreeMap<&str, &Option<Value>> = changes.iter().map(|c| (c.key.as_str(), &c.value)).collect();
    let mut ops = vec![];
    for (key, value) in last {
        let text = value.as_ref().map(|value| record::encode(key, value)).unwrap_or_default();
        let parts = text.as_bytes().chunks(NODE_BYTES_MAX);
        let kept = parts.len();
        ops.extend(parts.enumerate().map(|(i, part)| Op::Put { node: record_node(key, i), data: part.to_vec() }));
        let rest = (kept..).map(|i| record_node(key, i)).take_while(|node| nodes.contains(node));
        ops.extend(rest.map(|node| Op::Delete { node }));
    }
    ops
}

/// Cuts changes into pieces that fit into one transaction each.
fn pieces(ops: Vec<Op>) -> Vec<Vec<Op>> {
    let mut pieces: Vec<Vec<Op>> = vec![];
    let mut room = 0;
    for op in ops {
        let bytes = op.bytes();
        if bytes > room || pieces.is_empty() {
            pieces.push(vec![]);
            room = TRANSACTION_BYTES_MAX;
        }
        room = room.saturating_sub(bytes);
        pieces.last_mut().expect("pushed above").push(op);
    }
    pieces
}

/// Each piece goes with its node in the journal, the last one also with the commit.
fn applied(pieces: Vec<(String, Vec<Op>)>) -> Vec<Transaction> {
    let commit = Op::Delete { node: COMMIT.into() };
    let mut transactions: Vec<Transaction> = pieces
        .into_iter()
        .map(|(node, mut piece)| {
            piece.push(Op::Delete { node });
            piece
        })
        .collect();
    match transactions.last_mut() {
        Some(last) => last.push(commit),
        None => transactions.push(vec![commit]),
    }
    transactions
}

impl Op {
    fn node(&self) -> &str {
        match self {
            Op::Put { node, .. } | Op::Delete { node } => node,
        }
    }

    fn bytes(&self) -> usize {
        OP_BYTES
            + match self {
                Op::Put { node, data } => node.len() + data.len(),
                Op::Delete { node } => node.len(),
            }
    }
}

fn journal_node(number: usize) -> String {
    format!("{JOURNAL}/{number:06}")
}

fn record_node(key: &str, part: usize) -> String {
    let name = escape(key);
    if part == 0 { format!("{RECORDS}/{name}") } else { format!("{RECORDS}/{name}{PART}{part:03}") }
}

/// A key as the name of a node: `%XX` for each byte but letters, digits, `-`, `_` and dots that don't lead.
fn escape(key: &str) -> String {
    let mut name = String::with_capacity(key.len() + 8);
    for (i, byte) in key.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            b'.' if i > 0 => name.push('.'),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    name
}

fn unescape(name: &str) -> Option<String> {
    let mut key = vec![];
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let hex = std::str::from_utf8(rest.get(..2)?).ok()?;
            key.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &rest[2..];
        } else {
            key.push(byte);
        }
    }
    String::from_utf8(key).ok()
}

const PUT: u8 = b'+';
const DELETE: u8 = b'-';

/// A piece as bytes: of each change its kind, then name and data, each after its length (4 bytes, big-endian).
fn encode(piece: &[Op]) -> Vec<u8> {
    let mut bytes = vec![];
    let mut push = |kind: u8, node: &str, data: &[u8]| {
        bytes.push(kind);
        for text in [node.as_bytes(), data] {
            let len = u32::try_from(text.len()).expect("a node is far smaller than 4 GiB");
            bytes.extend(len.to_be_bytes());
            bytes.extend(text);
        }
    };
    for op in piece {
        match op {
            Op::Put { node, data } => push(PUT, node, data),
            Op::Delete { node } => push(DELETE, node, &[]),
        }
    }
    bytes
}

fn decode(mut bytes: &[u8]) -> Option<Vec<Op>> {
    fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        *bytes = rest;
        Some(text)
    }
    let mut piece = vec![];
    while let Some((&kind, rest)) = bytes.split_first() {
        bytes = rest;
        let node = String::from_utf8(text(&mut bytes)?.to_vec()).ok()?;
        let data = text(&mut bytes)?.to_vec();
        piece.push(match kind {
            PUT => Op::Put { node, data },
            DELETE => Op::Delete { node },
            _ => return None,
        });
    }
    Some(piece)
}

#[cfg(test)]
mod tests;
