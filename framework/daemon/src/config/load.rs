//! Defaults, then the file, then the command line; and what of it cannot work.

use std::{net::SocketAddr, path::Path};

use super::{Config, ConfigError, DEFAULTS, Http, Overrides};
use crate::zookeeper::address;

/// Shorter ones end at every pause of a virtual machine, longer ones leave tasks without a scheduler.
const SESSION_TIMEOUT_MS: std::ops::RangeInclusive<u64> = 1_000..=300_000;

impl Config {
    /// Defaults, then the file, then the command line.
    pub fn load(file: Option<&Path>, overrides: Overrides) -> Result<Config, ConfigError> {
        let text = match file {
            None => String::new(),
            Some(path) => {
                std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?
            }
        };
        let refused = |error: Box<toml::de::Error>| ConfigError::Parse {
            path: file.unwrap_or(Path::new("default.toml")).to_owned(),
            place: place(&text, &error),
            problem: problem(error.message()),
        };
        let mut config = Config::parse(&text).map_err(refused)?;
        config.apply(overrides)?;
        config.check()?;
        Ok(config)
    }

    /// Defaults, then this text.
    pub fn parse(text: &str) -> Result<Config, Box<toml::de::Error>> {
        let mut tree: toml::Table = DEFAULTS.parse()?;
        merge(&mut tree, text.parse()?);
        Ok(toml::Value::Table(tree).try_into()?)
    }

    /// The command line wins.
    pub fn apply(&mut self, overrides: Overrides) -> Result<(), ConfigError> {
        if !overrides.masters.is_empty() {
            self.mesos.masters = overrides.masters;
        }
        self.mesos.ca = overrides.ca.or(self.mesos.ca.take());
        match overrides.state {
            Some(state) if is_meant_for_zookeeper(&state) => {
                let refused = |problem| ConfigError::Value { key: "--state", problem };
                self.state.zookeeper = Some(address::parse(&state).map_err(refused)?);
            }
            Some(dir) => (self.state.dir, self.state.zookeeper) = (dir.into(), None),
            None => {}
        }
        self.http.listen = overrides.listen.unwrap_or(self.http.listen);
        self.http.tokens = overrides.tokens.or(self.http.tokens.take());
        self.http.cert = overrides.cert.or(self.http.cert.take());
        self.http.key = overrides.key.or(self.http.key.take());
        self.http.url = overrides.url.unwrap_or_else(|| std::mem::take(&mut self.http.url));
        self.mesos.role = overrides.role.unwrap_or_else(|| std::mem::take(&mut self.mesos.role));
        self.mesos.user = overrides.user.unwrap_or_else(|| std::mem::take(&mut self.mesos.user));
        self.executor.path = overrides.executor.unwrap_or_else(|| std::mem::take(&mut self.executor.path));
        self.log.level = overrides.log.unwrap_or_else(|| std::mem::take(&mut self.log.level));
        self.executor.serve |= overrides.serve_executor;
        Ok(())
    }

    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key, problem: &str| Err(ConfigError::Value { key, problem: problem.into() });
        self.session()?;
        if is_meant_for_zookeeper(&self.state.dir.to_string_lossy()) {
            return refuse("state.dir", "a ZooKeeper is no folder; name it as `zookeeper` in [state]");
        }
        if !SESSION_TIMEOUT_MS.contains(&self.state.session_timeout_ms) {
            return refuse(
                "state.session_timeout",
                "from 1s to 5min, and within ZooKeeper's own limits (2 to 20 ticks)",
            );
        }
        if !self.http.url.is_empty() && !self.http.url.starts_with("http://") && !self.http.url.starts_with("https://")
        {
            return refuse("http.url", "write it as http://HOST:PORT");
        }
        if self.mesos.role.is_empty() || self.mesos.role.contains(|c: char| c.is_whitespace() || c == '\\') {
            return refuse("mesos.role", "a role is a name without spaces, as in `millstream` or `streams/prod`");
        }
        if self.mesos.principal.is_some() != self.mesos.secret.is_some() {
            return refuse("mesos.principal", "principal and secret go together");
        }
        // Mesos' own smallest resources.
        if !(0.01..=1_000.0).contains(&self.executor.cpus) {
            return refuse("executor.cpus", "an executor takes 0.01 CPUs or more");
        }
        if self.executor.mem_bytes < 32 << 20 {
            return refuse("executor.mem", "an executor takes 32MiB or more");
        }
        if self.jobs.quotas.file_bytes > millstream_spec::MAX_FILE_BYTES as u64 {
            return refuse("jobs.quotas.file", "a job file has at most 1MiB, whatever is said here");
        }
        if self.jobs.users.iter().any(|rule| rule.users.iter().any(|user| user == "{job}")) {
            return refuse(
                "jobs.users",
                "a user {job} would be whichever the job is called: say a beginning of its own, as in `job-{job}`",
            );
        }
        if self.offers.launches_max == 0 {
            return refuse("offers.launches_max", "0 would launch nothing, ever");
        }
        Ok(())
    }

    /// What else must be right for a scheduler whose API listens at `address`.
    pub fn check_at(&self, address: SocketAddr) -> Result<(), ConfigError> {
        self.check_door(address)?;
        if self.mesos.user.is_empty() && nix::unistd::geteuid().is_root() {
            let problem = "executors would run as root, with jobs of whoever may deploy: say --user NAME (or `user` in [mesos]), one that reads no more than the jobs' secrets; --user root when that is meant";
            return Err(ConfigError::Value { key: "mesos.user", problem: problem.into() });
        }
        if self.executor.serve || self.state.zookeeper.is_some() {
            self.url(address)?;
        }
        self.executor_path().map(drop)
    }

    /// Off loopback strangers ask: nothing is told to who has no token, and no token goes over a wire that others read.
    fn check_door(&self, address: SocketAddr) -> Result<(), ConfigError> {
        let Http { tokens, cert, key, behind_proxy, .. } = &self.http;
        let refuse = |key, problem: String| Err(ConfigError::Value { key, problem });
        if cert.is_some() != key.is_some() {
            return refuse(
                "http.cert",
                "certificate and key go together: say `cert` and `key`, or --cert and --key".into(),
            );
        }
        if address.ip().is_loopback() {
            return Ok(());
        }
        if tokens.is_none() {
            let how = "others can ask there, so it needs a file of tokens: `millstream token NAME --role admin --file FILE` makes one, then say --tokens FILE, or `tokens` in [http]";
            return refuse("http.listen", format!("{address} is not loopback; {how}"));
        }
        if cert.is_none() && !behind_proxy {
            let how = "others can read along, so it needs TLS: say --cert FILE and --key FILE (PEM), or `behind_proxy = true` in [http] when TLS ends at a proxy in front";
            return refuse("http.listen", format!("{address} is not loopback; {how}"));
        }
        Ok(())
    }
}

/// The line of what is no TOML, the table or key of what is no setting; never the text itself, which may hold a secret.
fn place(text: &str, error: &toml::de::Error) -> String {
    match error.span() {
        Some(span) => format!("line {}", text[..span.start].matches('\n').count() + 1),
        None => {
            error.to_string().lines().last().filter(|line| line.starts_with("in ")).unwrap_or("top level").to_owned()
        }
    }
}

/// What is wrong with a value, without the value: `invalid type: string "…", expected a sequence`.
fn problem(message: &str) -> String {
    match (message.split_once('"'), message.rsplit_once(", expected ")) {
        (Some((what, _)), Some((_, expected))) if message.starts_with("invalid ") => {
            format!("{}, expected {expected}", what.trim_end())
        }
        _ => message.to_owned(),
    }
}

/// `zk:/place` is a place in ZooKeeper with a slash too few, and hardly ever a folder of that name.
pub fn is_meant_for_zookeeper(state: &str) -> bool {
    state.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("zk:"))
}

fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(over))
                if !matches!(key.as_str(), "secret" | "zookeeper_login" | "metrics_token") =>
            {
                merge(base, over)
            }
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use millstream_placement::Distances;

    use super::*;

    #[test]
    fn the_committed_defaults_are_complete() {
        let config = Config::parse("").expect("defaults");
        config.check().expect("usable");
        assert_eq!((config.mesos.failover_timeout_ms, config.executor.mem_bytes), (1_209_600_000, 64 << 20));
        assert_eq!(config.distances, Distances::default());
    }

    #[test]
    fn a_file_overrides_single_keys_and_the_command_line_both() {
        let mut config = Config::parse("[mesos]\nrole = \"prod\"\nmasters = [\"m1:5050\"]").expect("settings");
        config.apply(Overrides { role: Some("test".into()), ..Overrides::default() }).expect("overrides");
        assert_eq!((config.mesos.role.as_str(), config.mesos.name.as_str()), ("test", "millstream"));
        assert_eq!(config.mesos.masters, ["m1:5050"]);
    }

    #[test]
    fn unknown_keys_and_plain_secrets_are_refused() {
        for (text, part) in [
            ("[mesos]\nmaster = \"m1:5050\"", "unknown field `master`"),
            ("[web]\nport = 1", "unknown field `web`"),
            ("[mesos]\nsecret = \"hunter2\"", "only named here"),
            ("[mesos]\nsecret = { value = \"hunter2\" }", "refused"),
            ("[executor]\ngrace = \"soon\"", "number"),
            ("[state]\nzookeeper = \"zk://user:hunter2@a:2181/x\"", "login"),
            ("[state]\nzookeeper = \"a:2181\"", "zk://"),
            ("[executor]\nmetrics_token = \"hunter2\"", "only named here"),
        ] {
            let error = Config::parse(text).expect_err(text).to_string();
            assert!(error.contains(part) && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn a_refused_file_is_named_with_the_place_in_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let said = |text: &str| {
            let file = dir.path().join("settings.toml");
            std::fs::write(&file, text).expect("written");
            let error = Config::load(Some(&file), Overrides::default()).expect_err(text);
            assert!(std::error::Error::source(&error).is_none(), "said once");
            error.to_string().rsplit_once('/').expect("a path").1.to_owned()
        };
        let text = said("[mesos]\nmaster = \"m1:5050\"");
        assert!(text.starts_with("settings.toml, in `mesos`: unknown field `master`, expected "), "{text}");
        let text = said("[web]\nport = 1");
        assert!(text.starts_with("settings.toml, top level: unknown field `web`"), "{text}");
        let text = said("[mesos]\nmasters = \"zk://user:hunter2@z1:2181/mesos\"");
        assert_eq!(text, "settings.toml, in `mesos.masters`: invalid type: string, expected a sequence");
        let text = said("[mesos]\n\nsecret = hunter2\n");
        assert!(text.starts_with("settings.toml, line 3: ") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn state_is_a_folder_or_a_zookeeper_and_the_command_line_chooses() {
        let state = |text: &str, state: Option<&str>| {
            let mut config = Config::parse(text).expect("settings");
            config.apply(Overrides { state: state.map(str::to_owned), ..Overrides::default() }).map(|()| config.state)
        };
        let zookeeper = "[state]\nzookeeper = \"zk://a:2181/millstream\"";
        assert_eq!(state("", None).expect("defaults").zookeeper, None);
        assert_eq!(
            state(zookeeper, None).expect("a file").zookeeper.map(|zk| zk.path().to_owned()),
            Some("/millstream".into())
        );
        let folder = state(zookeeper, Some("/var/lib/millstream")).expect("a folder");
        assert_eq!((folder.zookeeper, folder.dir), (None, "/var/lib/millstream".into()));
        let other = state(zookeeper, Some("zk://b:2181,c:2181/other")).expect("another one").zookeeper;
        assert_eq!(other.map(|zk| zk.servers().to_owned()), Some("b:2181,c:2181".into()));
        for wrong in ["zk://b:2181", "zk:/b:2181/x", "zk:b:2181/x", "ZK://b:2181/x"] {
            let error = state("", Some(wrong)).expect_err(wrong).to_string();
            assert!(error.starts_with("--state: ") && error.contains("zk://HOST:PORT,HOST:PORT/millstream"), "{error}");
        }
        assert_eq!(state("", Some("./zk:")).expect("a folder").zookeeper, None);
        let config = Config::parse("[state]\ndir = \"zk:/b:2181/x\"").expect("settings");
        let error = config.check().expect_err("no folder").to_string();
        assert!(error.starts_with("state.dir: ") && error.contains("`zookeeper`"), "{error}");
    }

    #[test]
    fn off_loopback_there_are_tokens_and_tls() {
        let said = |http: &str, address: &str| {
            let mut config = Config::parse(&format!("[http]\n{http}")).expect("settings");
            (config.mesos.user, config.executor.path) = ("nobody".into(), "/bin/true".into());
            config.check_at(address.parse().expect("an address")).map_err(|error| error.to_string())
        };
        for loopback in ["127.0.0.1:7070", "[::1]:7070", "127.0.1.9:1"] {
            assert_eq!(said("", loopback), Ok(()));
        }
        for other in ["0.0.0.0:7070", "10.0.0.1:7070", "[::]:7070", "[::ffff:127.0.0.1]:7070"] {
            let error = said("", other).expect_err(other);
            assert!(error.contains("millstream token") && error.contains("--tokens"), "{error}");
            let error = said("tokens = \"t\"", other).expect_err(other);
            assert!(error.contains("--cert") && error.contains("behind_proxy"), "{error}");
            assert_eq!(said("tokens = \"t\"\ncert = \"c\"\nkey = \"k\"", other), Ok(()));
            assert_eq!(said("tokens = \"t\"\nbehind_proxy = true", other), Ok(()));
            said("behind_proxy = true", other).expect_err("no tokens");
        }
        assert!(said("cert = \"c\"", "127.0.0.1:7070").expect_err("half").contains("go together"));
    }

    #[test]
    fn https_to_the_masters_needs_a_ca_and_both_ways_to_name_it_are_said() {
        let config = |ca: Option<&str>| {
            let mut config = Config::parse("[mesos]\nmasters = [\"https://m1:5050\"]").expect("settings");
            config.apply(Overrides { ca: ca.map(Into::into), ..Overrides::default() }).expect("overrides");
            config.check().expect_err("no CA, or none that can be read").to_string()
        };
        let error = config(None);
        assert!(
            error.starts_with("mesos.ca: https://m1:5050") && error.contains("--ca or as `ca` in [mesos]"),
            "{error}"
        );
        let error = config(Some("/nowhere.pem"));
        assert!(error.contains("/nowhere.pem cannot be read"), "{error}");
    }
}
