//! What a job's author can reach: which files and variables of this host a job may name, which addresses, and as whom it
//! runs. Whoever may deploy must not be able to have the scheduler's or an executor's secrets sent to a server of their
//! choice.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Component, Path},
};

use millstream_spec::{Diagnostic, JobFile, JobSpec, Setting, kafka_options, kafka_options::TOKEN_ENDPOINT};
use millstream_topology::host_of;
use serde::Deserialize;
use tokio::net::lookup_host;

use crate::{access::JobPattern, quota::Quotas};

/// Stands for the job's name in a root, and for the same in capitals and underscores in a prefix.
const JOB: &str = "{job}";

/// A user that only a rule with this very name allows.
const ROOT: &str = "root";

/// `[jobs]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// Who may name which secrets; each rule that fits a job adds to what it may.
    pub secrets: Vec<Secrets>,
    /// `host:port`, `host` or patterns of them that jobs may speak to. Link-local addresses are never among them.
    pub addresses: Vec<JobPattern>,
    /// How much there may be.
    pub quotas: Quotas,
    /// Who may run as which users of the agents, besides that of `[mesos]`; each rule that fits a job adds to what it may.
    pub users: Vec<Users>,
}

/// Users of some jobs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Users {
    /// The jobs, by name.
    pub jobs: JobPattern,
    /// Names of users.
    pub users: Vec<String>,
}

/// Secrets of some jobs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// The jobs, by name.
    pub jobs: JobPattern,
    /// Folders whose files they may name.
    #[serde(default)]
    pub files: Vec<String>,
    /// Beginnings of the environment variables they may name.
    #[serde(default)]
    pub env: Vec<String>,
}

impl Reach {
    /// Of `millstream local`, whose jobs are those of the user who started it, and run as that one: any file, and the variables
    /// that executors get.
    pub fn of_oneself(quotas: Quotas) -> Reach {
        let env = vec!["MILLSTREAM_SECRET_".into()];
        let all = Secrets { jobs: JobPattern::new("*"), files: vec!["/".into()], env };
        Reach { secrets: vec![all], addresses: vec![JobPattern::new("*")], users: vec![], quotas }
    }

    /// What the file names and may not. Names of hosts are looked up: what they lead to counts.
    pub(crate) async fn refused(&self, file: &JobFile) -> Vec<Diagnostic> {
        let spec = &file.spec;
        let secrets = named(spec).filter_map(|(at, secret)| {
            let (error, help) = self.refused_secret(&spec.name.0, &secret)?;
            Some(file.error_at(&at, error, Some(help)))
        });
        let mut refused: Vec<Diagnostic> = secrets.collect();
        let user = spec.tasks.user.as_deref().and_then(|user| self.refused_user(&spec.name.0, user));
        refused.extend(user.map(|(error, help)| file.error_at("tasks.user", error, Some(help))));
        for (at, address) in addresses(spec) {
            if let Some(error) = self.refused_address(&address).await {
                let help = "ask whoever runs the scheduler: `addresses` in [jobs] of its settings lists what jobs may speak to";
                refused.push(file.error_at(&at, error, Some(help.into())));
            }
        }
        refused
    }

    /// Why the job may not name it, and what it may.
    fn refused_secret(&self, job: &str, secret: &Named<'_>) -> Option<(String, String)> {
        let in_capitals = job.to_ascii_uppercase().replace('-', "_");
        let rules = self.secrets.iter().filter(|rule| rule.jobs.matches(job));
        let places: Vec<String> = match secret {
            Named::File(_) => rules.flat_map(|rule| &rule.files).map(|root| root.replace(JOB, job)).collect(),
            Named::Env(_) => rules.flat_map(|rule| &rule.env).map(|begin| begin.replace(JOB, &in_capitals)).collect(),
        };
        let (is_allowed, what) = match secret {
            Named::File(path) => {
                let is_below = is_plain(path) && places.iter().any(|root| path.starts_with(root));
                (is_below, format!("the file `{}`", path.display()))
            }
            Named::Env(name) => (places.iter().any(|begin| name.starts_with(begin)), format!("the variable `{name}`")),
        };
        let allowed = if places.is_empty() { "none".to_owned() } else { places.join(", ") };
        let help = format!(
            "job {job} may name what begins with: {allowed}; `secrets` in [jobs] of the scheduler's settings says so"
        );
        (!is_allowed).then(|| (format!("job {job} may not name {what}"), help))
    }

    /// Why the job may not run as that user, and as whom it may.
    fn refused_user(&self, job: &str, user: &str) -> Option<(String, String)> {
        let rules = self.users.iter().filter(|rule| rule.jobs.matches(job));
        let named: Vec<&String> = rules.flat_map(|rule| &rule.users).collect();
        // A job that somebody calls `root` does not become root by that.
        let is_allowed = named.iter().any(|name| match name.contains(JOB) {
            true => user != ROOT && name.replace(JOB, job) == user,
            false => *name == user,
        });
        let allowed: Vec<String> = named.iter().map(|name| name.replace(JOB, job)).collect();
        let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
        let help = format!(
            "leave `user` out for that of [mesos] in the scheduler's settings; besides it job {job} may name: {allowed} (`users` in [jobs] there)"
        );
        (!is_allowed).then(|| (format!("job {job} may not run as the user {user}"), help))
    }

    async fn refused_address(&self, address: &str) -> Option<String> {
        let host = host_of(address);
        if !self.addresses.iter().any(|pattern| pattern.matches(address) || pattern.matches(host)) {
            return Some(format!("jobs may not speak to {address}"));
        }
        // What is not found is said by the live check, as ever.
        let found = lookup_host((host, 0)).await.ok()?;
        found
            .map(|found| found.ip())
            .any(is_link_local)
            .then(|| format!("{address} is link-local: jobs may not speak to it"))
    }
}

/// Whether it leads nowhere but down.
fn is_plain(path: &Path) -> bool {
    path.is_absolute() && path.components().all(|part| !matches!(part, Component::ParentDir))
}

enum Named<'a> {
    File(&'a Path),
    Env(&'a str),
}

/// All secrets and files that a job names, with where it does.
fn named(spec: &JobSpec) -> impl Iterator<Item = (String, Named<'_>)> {
    let options = spec
        .source
        .options
        .iter()
        .map(|(name, setting)| (format!("source.kafka.options.{name}"), name.as_str(), setting));
    let tls = spec.sink.tls.as_ref();
    let sink = [
        ("username", spec.sink.username.as_ref()),
        ("password", spec.sink.password.as_ref()),
        ("tls.ca", tls.map(|tls| &tls.ca)),
        ("tls.cert", tls.and_then(|tls| tls.cert.as_ref())),
        ("tls.key", tls.and_then(|tls| tls.key.as_ref())),
    ];
    let sink = sink.into_iter().filter_map(|(name, setting)| Some((format!("sink.cassandra.{name}"), name, setting?)));
    options.chain(sink).filter_map(|(at, name, setting)| match setting {
        Setting::File(path) => Some((at, Named::File(path))),
        Setting::Env(name) => Some((at, Named::Env(name))),
        // librdkafka looks for the system's authorities itself.
        Setting::Value(path) if kafka_options::FILES.contains(&name) && path != "probe" => {
            Some((at, Named::File(Path::new(path))))
        }
        Setting::Value(_) => None,
    })
}

/// All addresses that a job names, with where it does.
fn addresses(spec: &JobSpec) -> Vec<(String, String)> {
    let of = |at: &str, all: &[String]| all.iter().map(|address| (at.to_owned(), address.clone())).collect::<Vec<_>>();
    let mut found = of("source.kafka.bootstrap", &spec.source.bootstrap);
    found.extend(of("sink.cassandra.contact_points", &spec.sink.contact_points));
    // One that is read otherwise by others is refused where properties are.
    if let Some(Setting::Value(url)) = spec.source.options.get(TOKEN_ENDPOINT)
        && let Some(address) = kafka_options::url_authority(url)
    {
        found.push((format!("source.kafka.options.{TOKEN_ENDPOINT}"), address.to_owned()));
    }
    found
}

/// Where clouds tell machines their secrets: link-local addresses, and those of clouds that do it elsewhere.
fn is_link_local(address: IpAddr) -> bool {
    let metadata: [IpAddr; 2] =
        [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254).into(), Ipv4Addr::new(100, 100, 100, 200).into()];
    match address.to_canonical() {
        address if metadata.contains(&address) => true,
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || inner(v6).is_some_and(|v4| is_link_local(v4.into())),
    }
}

/// The address that one of IPv6 leads to: IPv4-compatible ones (RFC 4291, 2.5.5.1), NAT64 (RFC 6052, 2.1) and 6to4 (RFC 3056, 2).
fn inner(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let parts = address.segments();
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match parts {
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach() -> Reach {
        crate::Config::parse("").expect("defaults").jobs
    }

    fn job(options: &str, point: &str) -> JobFile {
        let text = format!(
            "name = \"orders-eu\"\n[source.kafka]\nbootstrap = [\"127.0.0.1:9092\"]\ntopic = \"a\"\n[source.kafka.options]\n{options}\n\
             [source.columns]\nid = \"int\"\n[transform]\nsql = \"SELECT id FROM input\"\n\
             [sink.cassandra]\ncontact_points = [\"{point}\"]\nkeyspace = \"k\"\ntable = \"t\"\n"
        );
        millstream_spec::parse("orders.toml", &text).expect("a job")
    }

    async fn said(reach: &Reach, options: &str, point: &str) -> String {
        let file = job(options, point);
        file.diagnostics(reach.refused(&file).await).to_string()
    }

    #[tokio::test]
    async fn only_what_is_meant_for_the_job_may_be_named() {
        let reach = reach();
        for allowed in [
            "\"sasl.password\" = { file = \"/etc/millstream/secrets/orders-eu/kafka\" }",
            "\"sasl.password\" = { file = \"/run/secrets/orders-eu/kafka\" }",
            "\"sasl.password\" = { env = \"MILLSTREAM_SECRET_ORDERS_EU_KAFKA\" }",
            "\"ssl.ca.location\" = \"/etc/ssl/certs/ca-certificates.crt\"",
            "\"ssl.ca.location\" = \"probe\"",
        ] {
            assert_eq!(said(&reach, allowed, "127.0.0.1:9042").await, "", "{allowed}");
        }
        for (refused, part) in [
            ("\"sasl.password\" = { file = \"/etc/shadow\" }", "the file `/etc/shadow`"),
            ("\"sasl.password\" = { file = \"/etc/millstream/secrets/orders-us/kafka\" }", "orders-us"),
            ("\"sasl.password\" = { file = \"/etc/millstream/secrets/orders-eu/../orders-us/kafka\" }", "may not name"),
            ("\"sasl.password\" = { file = \"/run/secrets-of-others/x\" }", "may not name"),
            ("\"sasl.username\" = { env = \"HOME\" }", "the variable `HOME`"),
            ("\"sasl.username\" = { env = \"MILLSTREAM_SECRET_PAYMENTS\" }", "PAYMENTS"),
            ("\"sasl.password\" = { file = \"/run/secrets/payments\" }", "payments"),
            ("\"ssl.key.location\" = \"/root/.ssh/id_rsa\"", "id_rsa"),
            ("\"ssl.key.location\" = \"../key.pem\"", "may not name"),
        ] {
            let said = said(&reach, refused, "127.0.0.1:9042").await;
            assert!(
                said.contains(part) && said.contains("[jobs]") && said.contains("orders.toml:"),
                "{refused}: {said}"
            );
        }
        for key in ["ca", "cert", "key"] {
            let mut file = job("", "127.0.0.1:9042");
            let elsewhere = |of: &str| Setting::File(if of == key { "/etc/shadow" } else { "/etc/ssl/certs/x" }.into());
            file.spec.sink.tls = Some(millstream_spec::CassandraTls {
                ca: elsewhere("ca"),
                cert: Some(elsewhere("cert")),
                key: Some(elsewhere("key")),
                name: None,
            });
            let said = file.diagnostics(reach.refused(&file).await).to_string();
            assert!(said.contains("may not name the file `/etc/shadow`"), "{key}: {said}");
        }
        let oneself = Reach::of_oneself(reach.quotas);
        assert_eq!(said(&oneself, "\"sasl.password\" = { file = \"/home/me/kafka\" }", "127.0.0.1:1").await, "");
        assert_eq!(said(&oneself, "\"sasl.password\" = { env = \"MILLSTREAM_SECRET_A\" }", "127.0.0.1:1").await, "");
    }

    #[test]
    fn users_are_those_that_are_listed_for_the_job() {
        let rule = |jobs: &str, users: &[&str]| Users {
            jobs: JobPattern::new(jobs),
            users: users.iter().map(|&user| user.to_owned()).collect(),
        };
        let none = reach();
        assert!(none.refused_user("orders-eu", "orders").is_some_and(|(_, help)| help.contains("none")));
        let some =
            Reach { users: vec![rule("orders-*", &["orders", "job-{job}"]), rule("*", &["x-{job}"])], ..reach() };
        for (job, user) in
            [("orders-eu", "orders"), ("orders-eu", "job-orders-eu"), ("orders-eu", "x-orders-eu"), ("a", "x-a")]
        {
            assert_eq!(some.refused_user(job, user), None, "{job} as {user}");
        }
        for (job, user) in
            [("flights", "orders"), ("orders-eu", "root"), ("root", "root"), ("a", "{job}"), ("a", "A"), ("a", "a")]
        {
            let (error, help) = some.refused_user(job, user).unwrap_or_default();
            assert!(error.contains(user) && help.contains("[jobs]"), "{job} as {user}: {error}, {help}");
        }
        let root = Reach { users: vec![rule("janitor", &["root"])], ..reach() };
        assert_eq!(root.refused_user("janitor", "root"), None);
        assert!(root.refused_user("orders", "root").is_some());
    }

    #[tokio::test]
    async fn addresses_are_those_that_are_listed_and_never_link_local() {
        let any = reach();
        for point in [
            "169.254.169.254:80",
            "[fe80::1]:9042",
            "[::ffff:169.254.169.254]:80",
            "[::169.254.169.254]:80",
            "[64:ff9b::a9fe:a9fe]:80",
            "[2002:a9fe:a9fe::1]:80",
            "[fd00:ec2::254]:80",
            "100.100.100.200:80",
            "2852039166:80",
            "0xa9fea9fe:80",
        ] {
            let said = said(&any, "", point).await;
            assert!(said.contains("link-local"), "{point}: {said}");
        }
        let url = "\"sasl.oauthbearer.token.endpoint.url\" = \"https://169.254.169.254/latest\"";
        assert!(said(&any, url, "127.0.0.1:9042").await.contains("link-local"));
        let few = Reach { addresses: vec![JobPattern::new("127.0.0.*"), JobPattern::new("local*:9042")], ..any };
        assert_eq!(said(&few, "", "127.0.0.1:9042").await, "");
        assert_eq!(said(&few, "", "localhost:9042").await, "");
        for point in ["10.0.0.1:9042", "localhost:22", "[::1]:9042"] {
            assert!(said(&few, "", point).await.contains("may not speak to"), "{point}");
        }
    }
}
