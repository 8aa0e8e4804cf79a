//! librdkafka properties: which of them a job may set, and why. Whatever stands in no table here is refused by name.
//!
//! A job file comes from a stranger. Some properties load code into the process that opens the client, run a command, read
//! any file, weaken TLS or end the process; others are what Millstream's promises rest on.

/// Properties with what they have in common.
#[derive(Debug)]
pub struct Group {
    /// The names.
    pub names: &'static [&'static str],
    /// Of those a job may set: what they are for. Of the others: what to do instead.
    pub why: &'static str,
}

/// What a job may set.
pub const ALLOWED: &[Group] = &[
    Group {
        names: &[
            "broker.address.family",
            "broker.address.ttl",
            "client.dns.lookup",
            "connections.max.idle.ms",
            "reconnect.backoff.jitter.ms",
            "reconnect.backoff.max.ms",
            "reconnect.backoff.ms",
            "retry.backoff.max.ms",
            "retry.backoff.ms",
            "socket.blocking.max.ms",
            "socket.connection.setup.timeout.ms",
            "socket.keepalive.enable",
            "socket.max.fails",
            "socket.nagle.disable",
            "socket.receive.buffer.bytes",
            "socket.send.buffer.bytes",
            "socket.timeout.ms",
        ],
        why: "connections: networks differ",
    },
    Group {
        names: &[
            "api.version.fallback.ms",
            "api.version.request",
            "api.version.request.timeout.ms",
            "broker.version.fallback",
            "client.id",
            "enable.metrics.push",
        ],
        why: "old brokers, and how the client is called in the brokers' quotas, logs and metrics",
    },
    Group {
        names: &[
            "coordinator.query.interval.ms",
            "metadata.max.age.ms",
            "metadata.recovery.rebootstrap.trigger.ms",
            "metadata.recovery.strategy",
            "topic.metadata.propagation.max.ms",
            "topic.metadata.refresh.fast.cnt",
            "topic.metadata.refresh.fast.interval.ms",
            "topic.metadata.refresh.interval.ms",
            "topic.metadata.refresh.sparse",
        ],
        why: "how soon a change of the cluster is noticed",
    },
    Group {
        names: &[
            "fetch.error.backoff.ms",
            "fetch.max.bytes",
            "fetch.message.max.bytes",
            "fetch.min.bytes",
            "fetch.queue.backoff.ms",
            "fetch.wait.max.ms",
            "max.in.flight",
            "max.in.flight.requests.per.connection",
            "max.partition.fetch.bytes",
            "queued.max.messages.kbytes",
            "queued.min.messages",
        ],
        why: "fetching: delay against load (what is fetched ahead counts against `mem` of a task)",
    },
    Group {
        names: &[
            "https.ca.location",
            "https.ca.pem",
            "sasl.mechanism",
            "sasl.mechanisms",
            "sasl.oauthbearer.client.credentials.client.id",
            "sasl.oauthbearer.client.credentials.client.secret",
            "sasl.oauthbearer.client.id",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.extensions",
            "sasl.oauthbearer.grant.type",
            "sasl.oauthbearer.method",
            "sasl.oauthbearer.scope",
            "sasl.oauthbearer.token.endpoint.url",
            "sasl.password",
            "sasl.username",
            "security.protocol",
            "ssl.ca.location",
            "ssl.ca.pem",
            "ssl.certificate.location",
            "ssl.certificate.pem",
            "ssl.crl.location",
            "ssl.endpoint.identification.algorithm",
            "ssl.key.location",
            "ssl.key.password",
            "ssl.key.pem",
            "ssl.keystore.location",
            "ssl.keystore.password",
        ],
        why: "logins and TLS",
    },
];

/// What a job may set, and Millstream overrules.
pub const OVERRULED: &[Group] = &[
    Group { names: &["check.crcs"], why: "records are always checked" },
    Group { names: &["receive.message.max.bytes"], why: "it follows from the largest record there may be" },
    Group {
        names: &[
            "batch.num.messages",
            "batch.size",
            "compression.codec",
            "compression.level",
            "compression.type",
            "linger.ms",
            "message.copy.max.bytes",
            "message.max.bytes",
            "message.send.max.retries",
            "message.timeout.ms",
            "delivery.timeout.ms",
            "queue.buffering.backpressure.threshold",
            "queue.buffering.max.kbytes",
            "queue.buffering.max.messages",
            "queue.buffering.max.ms",
            "queuing.strategy",
            "request.timeout.ms",
            "retries",
            "sticky.partitioning.linger.ms",
            "transaction.timeout.ms",
        ],
        why: "a job only writes dead letters, and Millstream decides how",
    },
];

/// What Millstream sets itself.
pub const OWNED: &[Group] = &[
    Group { names: &["bootstrap.servers", "metadata.broker.list"], why: "set `bootstrap` in [source.kafka]" },
    Group { names: &["group.id"], why: "set `group` in [source.kafka]" },
    Group {
        names: &["auto.offset.reset", "enable.auto.offset.reset"],
        why: "set `start` in [source.kafka]; a lost offset stops the partition instead of jumping over records",
    },
    Group {
        names: &[
            "auto.commit.enable",
            "auto.commit.interval.ms",
            "enable.auto.commit",
            "enable.auto.offset.store",
            "offset.store.method",
            "offset.store.path",
            "offset.store.sync.interval.ms",
        ],
        why: "leave it out: an offset is committed only when its rows are durable in Cassandra",
    },
    Group { names: &["client.rack"], why: "leave it out: it follows from the host a task is placed on" },
    Group {
        names: &["isolation.level"],
        why: "leave it out: it is read_committed, so that records of aborted transactions make no rows",
    },
    Group {
        names: &[
            "group.instance.id",
            "group.protocol",
            "group.protocol.type",
            "group.remote.assignor",
            "heartbeat.interval.ms",
            "max.poll.interval.ms",
            "partition.assignment.strategy",
            "session.timeout.ms",
        ],
        why: "leave it out: the scheduler assigns partitions, there is no group rebalance",
    },
    Group { names: &["enable.partition.eof"], why: "leave it out: lag is measured by Millstream" },
    Group {
        names: &["statistics.interval.ms", "enabled_events"],
        why: "leave it out: Millstream's own metrics say it",
    },
    Group {
        names: &["allow.auto.create.topics", "topic.blacklist"],
        why: "leave it out: a job reads the one topic it names, and never makes it",
    },
    Group {
        names: &[
            "acks",
            "delivery.report.only.error",
            "enable.gapless.guarantee",
            "enable.idempotence",
            "msg_order_cmp",
            "partitioner",
            "produce.offset.report",
            "request.required.acks",
            "transactional.id",
        ],
        why: "leave it out: Millstream decides how dead letters are written",
    },
    Group {
        names: &["debug", "log.connection.close", "log.queue", "log.thread.name", "log_level"],
        why: "leave it out: what a process logs is set where it is started",
    },
    Group { names: &["consume.callback.max.messages"], why: "leave it out: batches follow the memory of a task" },
];

/// What would let a job file do more than describe a job.
pub const FORBIDDEN: &[Group] = &[
    Group {
        names: &["interceptors", "plugin.library.paths", "ssl.engine.id", "ssl.engine.location", "ssl.providers"],
        why: "leave it out: it loads foreign code",
    },
    Group {
        names: &["enable.ssl.certificate.verification"],
        why: "name the authority of the brokers' certificates in `ssl.ca.location`",
    },
    Group {
        names: &["ssl.cipher.suites", "ssl.curves.list", "ssl.sigalgs.list", "ssl.ca.certificate.stores"],
        why: "leave it out: a choice of ciphers can undo TLS, and the defaults of OpenSSL are sound",
    },
    Group {
        names: &[
            "sasl.kerberos.keytab",
            "sasl.kerberos.kinit.cmd",
            "sasl.kerberos.min.time.before.relogin",
            "sasl.kerberos.principal",
            "sasl.kerberos.service.name",
        ],
        why: "use SCRAM, OAUTHBEARER or a client certificate: executors have no Kerberos, whose client runs a command",
    },
    Group {
        names: &["enable.sasl.oauthbearer.unsecure.jwt", "sasl.oauthbearer.config"],
        why: "set `sasl.oauthbearer.token.endpoint.url`: a token that nobody has signed proves nothing",
    },
    Group {
        names: &[
            "sasl.oauthbearer.assertion.algorithm",
            "sasl.oauthbearer.assertion.claim.aud",
            "sasl.oauthbearer.assertion.claim.exp.seconds",
            "sasl.oauthbearer.assertion.claim.iss",
            "sasl.oauthbearer.assertion.claim.jti.include",
            "sasl.oauthbearer.assertion.claim.nbf.seconds",
            "sasl.oauthbearer.assertion.claim.sub",
            "sasl.oauthbearer.assertion.file",
            "sasl.oauthbearer.assertion.jwt.template.file",
            "sasl.oauthbearer.assertion.private.key.file",
            "sasl.oauthbearer.assertion.private.key.passphrase",
            "sasl.oauthbearer.assertion.private.key.pem",
            "sasl.oauthbearer.metadata.authentication.type",
        ],
        why: "set `sasl.oauthbearer.client.id` and `.client.secret`: tokens are asked for by client credentials",
    },
    Group {
        names: &[
            "builtin.features",
            "client.software.name",
            "client.software.version",
            "enable.random.seed",
            "enable.sparse.connections",
            "enable_sasl_queue",
            "internal.termination.signal",
            "metadata.request.timeout.ms",
            "test.mock.broker.rtt",
            "test.mock.num.brokers",
            "ut_handle_ProduceResponse",
        ],
        why: "leave it out: it is for librdkafka's own tests, or changes the whole process",
    },
    Group {
        names: &[
            "background_event_cb",
            "closesocket_cb",
            "connect_cb",
            "consume_cb",
            "default_topic_conf",
            "dr_cb",
            "dr_msg_cb",
            "error_cb",
            "log_cb",
            "oauthbearer_token_refresh_cb",
            "offset_commit_cb",
            "opaque",
            "open_cb",
            "partitioner_cb",
            "rebalance_cb",
            "resolve_cb",
            "socket_cb",
            "ssl.certificate.verify_cb",
            "ssl_ca",
            "ssl_certificate",
            "ssl_engine_callback_data",
            "ssl_key",
            "stats_cb",
            "throttle_cb",
        ],
        why: "leave it out: it is a pointer of a program",
    },
];

/// Properties of the Java client that librdkafka does not know.
pub const JAVA_ONLY: &[Group] = &[
    Group { names: &["sasl.jaas.config"], why: "set `sasl.username` and `sasl.password = { env = \"…\" }`" },
    Group { names: &["max.poll.records"], why: "leave it out: batches follow the memory of a task" },
    Group { names: &["key.deserializer"], why: "leave it out: the key is the column `_key`" },
    Group { names: &["value.deserializer"], why: "leave it out: `format` says how values are encoded" },
    Group { names: &["ssl.truststore.location"], why: "set `ssl.ca.location` to a PEM file" },
    Group { names: &["ssl.truststore.password"], why: "set `ssl.ca.location` to a PEM file, which has no password" },
    Group { names: &["ssl.truststore.type"], why: "set `ssl.ca.location` to a PEM file" },
    Group { names: &["ssl.keystore.type"], why: "set `ssl.keystore.location` to a PKCS#12 file" },
    Group { names: &["exclude.internal.topics"], why: "leave it out: a job reads the one topic it names" },
];

/// Values that librdkafka would take and a job may not set, with what to do instead. All others of the property pass.
const VALUES: &[(&str, &[&str], &str)] = &[(
    "ssl.endpoint.identification.algorithm",
    &["https"],
    "leave it out, and address the brokers by the names in their certificates",
)];

/// Properties whose value is the path of a file that the client reads.
pub const FILES: &[&str] = &[
    "https.ca.location",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.crl.location",
    "ssl.key.location",
    "ssl.keystore.location",
];

/// What becomes of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// It is passed on to librdkafka.
    Passed,
    /// It is accepted and left out: why.
    Overruled(&'static str),
    /// Millstream sets it: what to do instead.
    Owned(&'static str),
    /// No job may set it: what to do instead.
    Forbidden(&'static str),
    /// It is one of the Java client: what to do instead.
    Java(&'static str),
    /// No property of this name is known.
    Unknown,
}

/// What becomes of the property of this name.
pub fn rule(name: &str) -> Rule {
    let find =
        |groups: &'static [Group]| groups.iter().find(|group| group.names.contains(&name)).map(|found| found.why);
    find(ALLOWED)
        .map(|_| Rule::Passed)
        .or_else(|| find(OVERRULED).map(Rule::Overruled))
        .or_else(|| find(OWNED).map(Rule::Owned))
        .or_else(|| find(FORBIDDEN).map(Rule::Forbidden))
        .or_else(|| find(JAVA_ONLY).map(Rule::Java))
        .unwrap_or(Rule::Unknown)
}

/// Property that holds the URL of a token endpoint. Its host is one that the job speaks to.
pub const TOKEN_ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";

/// `host:port` or `host` of a URL, if everybody reads it alike: clients bear with slashes too few or too many, and with
/// hosts that are encoded.
pub fn url_authority(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    let is_one = !authority.is_empty() && !authority.starts_with(':') && authority.bytes().all(is_plain);
    (is_one && url.bytes().all(|b| b.is_ascii_graphic() && b != b'\\' && b != b'#')).then_some(authority)
}

fn is_endpoint(url: &str) -> bool {
    const HERE: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
    let is_here = |authority: &str| {
        HERE.iter()
            .any(|here| authority.strip_prefix(here).is_some_and(|port| port.is_empty() || port.starts_with(':')))
    };
    url_authority(url).is_some_and(|authority| url.starts_with("https://") || is_here(authority))
}

/// What to do instead, where the value of a property that is passed on is none a job may set.
pub fn refused_value(name: &str, value: &str) -> Option<&'static str> {
    match name {
        TOKEN_ENDPOINT if !is_endpoint(value) => {
            return Some(
                "write it as https://HOST:PORT/PATH (http:// only for this host): a client's secret is sent there",
            );
        }
        // librdkafka puts it into a form as it is.
        "sasl.oauthbearer.scope"
            if !value.bytes().all(|b| b == b' ' || b.is_ascii_graphic() && !b"&=%#+\"\\".contains(&b)) =>
        {
            return Some("write names of scopes with spaces between them, without any of & = % # +");
        }
        _ => {}
    }
    let (_, allowed, remedy) = VALUES.iter().find(|(of, ..)| *of == name)?;
    (!allowed.contains(&value.to_ascii_lowercase().as_str())).then_some(*remedy)
}

/// All names that a job may set.
pub(crate) fn allowed() -> impl Iterator<Item = &'static str> {
    ALLOWED.iter().chain(OVERRULED).flat_map(|group| group.names).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_endpoint_is_read_alike_by_everybody_and_secrets_go_there_by_tls() {
        for url in
            ["https://login.example/token", "https://10.0.0.1:8443/a/b?c=d", "http://127.0.0.1:80/t", "http://[::1]:1"]
        {
            assert_eq!(refused_value(TOKEN_ENDPOINT, url), None, "{url}");
        }
        for url in [
            "http:/169.254.169.254/x",
            "http:///169.254.169.254/x",
            "https:///169.254.169.254/x",
            "https://%31%36%39.254.169.254/",
            "https://user@169.254.169.254/",
            "https://a.example\\@169.254.169.254/",
            "https://a.example#@169.254.169.254/",
            "http://login.example/token",
            "http://127.0.0.1.example/token",
            "http://localhost.example/token",
            "ftp://127.0.0.1/",
            "HTTPS://a.example/",
            "file:///etc/shadow",
            "https://:80/",
            "https://a.example/ x",
            "",
        ] {
            assert!(refused_value(TOKEN_ENDPOINT, url).is_some(), "{url}");
        }
        assert_eq!(url_authority("https://10.0.0.1:8443?x"), Some("10.0.0.1:8443"));
    }

    #[test]
    fn a_scope_adds_nothing_else_to_what_is_sent() {
        assert_eq!(refused_value("sasl.oauthbearer.scope", "kafka.read kafka.write:all"), None);
        for scope in ["x&frameworkId=1", "a=b", "a%26b", "a+b", "a#b", "a\r\nb", "a\"b"] {
            assert!(refused_value("sasl.oauthbearer.scope", scope).is_some(), "{scope}");
        }
    }
}
