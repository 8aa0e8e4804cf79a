use std::fmt;

use super::super::{MastersError, address::is_host_and_port};

/// A place in ZooKeeper, `zk://[user:password@]host1:port,host2:port/path`. Shown without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct ZooKeeperUrl {
    servers: String,
    path: String,
    login: Option<String>,
}

impl ZooKeeperUrl {
    /// What such a text begins with.
    pub const SCHEME: &str = "zk://";

    /// As Mesos reads it (include/mesos/zookeeper/url.hpp): the path begins at the first `/`, the servers behind the last
    /// `@`; and as its detector, it takes no `/` alone.
    pub fn parse(text: &str) -> Result<Self, MastersError> {
        let rest = text.strip_prefix(Self::SCHEME).ok_or_else(|| MastersError::Server { server: text.into() })?;
        let (place, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let (login, servers) = match place.rsplit_once('@') {
            Some((login, servers)) => (Some(login.to_owned()), servers),
            None => (None, place),
        };
        if let Some(server) = servers.split(',').find(|server| !is_host_and_port(server)) {
            return Err(MastersError::Server { server: server.into() });
        }
        let servers = servers.to_owned();
        if login.as_deref().is_some_and(|login| login.split_once(':').is_none_or(|(user, _)| user.is_empty())) {
            return Err(MastersError::Login { servers });
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() || path.contains("//") || path.contains(char::is_whitespace) {
            return Err(MastersError::Path { servers });
        }
        Ok(Self { servers, path: path.to_owned(), login })
    }

    /// `host:port` of each server, with commas.
    pub fn servers(&self) -> &str {
        &self.servers
    }

    /// Begins with `/` and does not end so.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `user:password` of ZooKeeper's `digest` scheme. Never logged.
    pub fn login(&self) -> Option<&str> {
        self.login.as_deref()
    }
}

impl fmt::Display for ZooKeeperUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", Self::SCHEME, self.servers, self.path)
    }
}

impl fmt::Debug for ZooKeeperUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ZooKeeperUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_path_and_login_are_read_and_the_password_is_not_shown() {
        let url = ZooKeeperUrl::parse("zk://me:p@ss:word@a:2181,[::1]:2182/mesos/prod/").unwrap();
        assert_eq!((url.servers(), url.path()), ("a:2181,[::1]:2182", "/mesos/prod"));
        assert_eq!(url.login(), Some("me:p@ss:word"));
        assert_eq!(
            format!("{url} {url:?}"),
            "zk://a:2181,[::1]:2182/mesos/prod ZooKeeperUrl(zk://a:2181,[::1]:2182/mesos/prod)"
        );
        assert_eq!(ZooKeeperUrl::parse("zk://a:1/m").unwrap().login(), None);
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        let servers = || "a:2181".to_owned();
        for (text, expected) in [
            ("zk:///mesos", MastersError::Server { server: String::new() }),
            ("zk://a/mesos", MastersError::Server { server: "a".into() }),
            ("zk://a:2181,,b:2181/mesos", MastersError::Server { server: String::new() }),
            ("zk://me:hush@a:b/mesos", MastersError::Server { server: "a:b".into() }),
            ("zk://a:2181", MastersError::Path { servers: servers() }),
            ("zk://a:2181/", MastersError::Path { servers: servers() }),
            ("zk://a:2181//mesos", MastersError::Path { servers: servers() }),
            ("zk://hush@a:2181/mesos", MastersError::Login { servers: servers() }),
            ("zk://:hush@a:2181/mesos", MastersError::Login { servers: servers() }),
        ] {
            let error = ZooKeeperUrl::parse(text).unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }
}
