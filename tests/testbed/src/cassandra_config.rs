//! Configuration of a Cassandra node: the jar brings none.

use std::path::{Path, PathBuf};

use millstream_tls::ClientFiles;

use crate::hosts::{host, rack};

/// Tokens of one node; enough for even shares.
const TOKENS: i128 = 16;

/// What cluster to start.
#[derive(Debug, Clone)]
pub struct CassandraOptions {
    /// Nodes: 1, or 3 for a keyspace that survives one of them.
    pub nodes: usize,
    /// Heap of each in MiB.
    pub heap_mib: u32,
    /// Let the JVM optimise fully: slower to start, needed to measure.
    pub optimised: bool,
    /// Ask for a login, and heed these lines of cassandra.yaml: guardrails hold for nobody
    /// without an ordinary role.
    pub guardrails: Option<&'static str>,
    /// Speak TLS only, to clients with a certificate.
    pub encryption: Option<Encryption>,
}

/// Certificates of a cluster and its clients.
#[derive(Debug, Clone)]
pub struct Encryption {
    /// PEM of the nodes' certificate and key.
    pub keystore: PathBuf,
    /// PEM of the authority of the clients' certificates.
    pub truststore: PathBuf,
    /// For sessions of the testbed itself.
    pub client: ClientFiles,
}

/// Name and password of the role that a cluster with [`CassandraOptions::guardrails`] begins with.
pub(crate) const SUPERUSER: &str = "cassandra";

impl CassandraOptions {
    /// `nodes` nodes with the heap that many want.
    pub fn nodes(nodes: usize) -> Self {
        let heap_mib = if nodes > 1 { 384 } else { 768 };
        CassandraOptions { nodes, heap_mib, optimised: false, guardrails: None, encryption: None }
    }
}

/// cassandra.yaml of node `i`, with all data below `data`.
pub(crate) fn yaml(options: &CassandraOptions, i: usize, port: u16, storage_port: u16, data: &Path) -> String {
    let nodes = options.nodes;
    let (authenticator, authorizer, guardrails) = match options.guardrails {
        Some(guardrails) => ("PasswordAuthenticator", "CassandraAuthorizer", guardrails),
        None => ("AllowAllAuthenticator", "AllowAllAuthorizer", ""),
    };
    let encryption = options.encryption.as_ref().map(encryption).unwrap_or_default();
    let seeds: Vec<String> = (1..=nodes).map(|n| format!("{}:{storage_port}", host(n))).collect();
    let (host, data, seeds, tokens) = (host(i), data.display(), seeds.join(","), tokens(nodes, i));
    // auto_bootstrap: false with every node a seed and explicit tokens starts three nodes at once.
    // Off-heap trie memtables lose least to garbage collection.
    format!(
        r#"cluster_name: testbed
num_tokens: {TOKENS}
initial_token: {tokens}
auto_bootstrap: false
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
authenticator: {authenticator}
authorizer: {authorizer}
data_file_directories: [{data}/data]
commitlog_directory: {data}/commitlog
saved_caches_directory: {data}/saved_caches
hints_directory: {data}/hints
cdc_raw_directory: {data}/cdc_raw
commitlog_sync: periodic
commitlog_sync_period: 10000ms
commitlog_segment_size: 16MiB
commitlog_total_space: 512MiB
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: "{seeds}"}}]
listen_address: {host}
rpc_address: {host}
storage_port: {storage_port}
native_transport_port: {port}
start_native_transport: true
endpoint_snitch: GossipingPropertyFileSnitch
concurrent_reads: 8
concurrent_writes: 16
memtable_heap_space: 128MiB
memtable_offheap_space: 128MiB
memtable_allocation_type: offheap_objects
file_cache_enabled: false
key_cache_size: 4MiB
counter_cache_size: 0MiB
prepared_statements_cache_size: 8MiB
concurrent_compactors: 1
compaction_throughput: 32MiB/s
batch_size_warn_threshold: 1024KiB
batch_size_fail_threshold: 8192KiB
unlogged_batch_across_partitions_warn_threshold: 10000
materialized_views_enabled: true
storage_compatibility_mode: NONE
sstable: {{selected_format: bti}}
memtable:
  configurations:
    skiplist: {{class_name: SkipListMemtable}}
    trie: {{class_name: TrieMemtable, parameters: {{shards: 2}}}}
    default: {{inherits: trie}}
{guardrails}
{encryption}"#
    )
}

fn encryption(Encryption { keystore, truststore, .. }: &Encryption) -> String {
    format!(
        "client_encryption_options:
  enabled: true
  optional: false
  require_client_auth: true
  ssl_context_factory: {{class_name: org.apache.cassandra.security.PEMBasedSslContextFactory}}
  keystore: {}
  truststore: {}
",
        keystore.display(),
        truststore.display()
    )
}

/// cassandra-rackdc.properties of node `i`.
pub(crate) fn rackdc(i: usize) -> String {
    format!("dc=dc1\nrack={}\n", rack(i))
}

/// What of the JDK Cassandra reaches into.
pub(crate) fn jvm_modules() -> Vec<String> {
    const OPENS: &[&str] = &[
        "java.base/java.lang",
        "java.base/java.lang.module",
        "java.base/java.net",
        "java.base/java.nio",
        "java.base/java.io",
        "java.base/java.util",
        "java.base/java.util.concurrent",
        "java.base/java.util.concurrent.atomic",
        "java.base/jdk.internal.loader",
        "java.base/jdk.internal.ref",
        "java.base/jdk.internal.reflect",
        "java.base/jdk.internal.math",
        "java.base/jdk.internal.module",
        "java.base/jdk.internal.util",
        "java.base/jdk.internal.util.jar",
        "java.base/jdk.internal.misc",
        "java.base/sun.nio.ch",
        "jdk.management/com.sun.management.internal",
        "jdk.management/com.sun.management",
    ];
    const EXPORTS: &[&str] = &[
        "java.base/jdk.internal.misc",
        "java.base/jdk.internal.ref",
        "java.base/sun.nio.ch",
        "java.management.rmi/com.sun.jmx.remote.internal.rmi",
        "java.rmi/sun.rmi.registry",
        "java.rmi/sun.rmi.server",
        "java.rmi/sun.rmi.transport.tcp",
        "java.sql/java.sql",
        "java.base/java.lang.ref",
        "jdk.unsupported/sun.misc",
        "jdk.compiler/com.sun.tools.javac.file",
    ];
    let opens = OPENS.iter().map(|package| format!("--add-opens={package}=ALL-UNNAMED"));
    opens.chain(EXPORTS.iter().map(|package| format!("--add-exports={package}=ALL-UNNAMED"))).collect()
}

/// The node's tokens: those of all nodes lie evenly on the ring and take turns.
fn tokens(nodes: usize, i: usize) -> String {
    let all = TOKENS * nodes as i128;
    let step = (1_i128 << 64) / (all + 1);
    let token = |k: i128| (k * nodes as i128 + i as i128) * step - (1_i128 << 63);
    (0..TOKENS).map(|k| token(k).to_string()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_three_nodes_take_turns_and_fit() {
        let of = |i| tokens(3, i).split(',').map(|t| t.parse::<i64>().unwrap()).collect::<Vec<_>>();
        let (a, b, c) = (of(1), of(2), of(3));
        assert_eq!(a.len(), 16);
        for k in 0..16 {
            assert!(a[k] < b[k] && b[k] < c[k] && (k == 15 || c[k] < a[k + 1]));
        }
    }
}
