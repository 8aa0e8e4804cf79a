use std::fmt;

use super::super::{MastersError, address::is_host_and_port};

/// ZooKeeper's port, of a server written without one.
const PORT: &str = "2181";

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
    /// `@`; and as its detector, it takes no `/` alone. Errors show nothing that may be a part of a password, which may
    /// hold any of `/`, `@` and `:`.
    pub fn parse(text: &str) -> Result<Self, MastersError> {
        let rest = text.strip_prefix(Self::SCHEME).ok_or_else(|| MastersError::Server { server: String::new() })?;
        let (place, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        if let Some((_, behind)) = path.rsplit_once('@') {
            // A password with `/`: what stands before it would be taken for the servers.
            let found = servers(behind.split('/').next().unwrap_or_default());
            return Err(MastersError::Login { servers: found.unwrap_or_else(|_| "HOST:PORT".into()) });
        }
        let (login, listed) = match place.rsplit_once('@') {
            Some((login, listed)) => (Some(login.to_owned()), listed),
            None => (None, place),
        };
        let servers = servers(listed)?;
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

/// Each with its port.
fn servers(listed: &str) -> Result<String, MastersError> {
    let each = listed.split(',').map(|server| {
        let with_port = format!("{server}:{PORT}");
        match (is_host_and_port(server), is_host_and_port(&with_port)) {
            (true, _) => Ok(server.to_owned()),
            (false, true) => Ok(with_port),
            (false, false) => Err(MastersError::Server { server: shown(server) }),
        }
    });
    Ok(each.collect::<Result<Vec<_>, _>>()?.join(","))
}

/// What is no server, as far as it is a host: `user:password` without a server behind it looks like one with a wrong port.
fn shown(server: &str) -> String {
    server.split_once(':').map_or_else(|| server.to_owned(), |(host, _)| format!("{host}:…"))
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
        assert_eq!(ZooKeeperUrl::parse("zk://a,[::1]/m").unwrap().servers(), "a:2181,[::1]:2181");
        assert_eq!(ZooKeeperUrl::parse("zk://me:hu@sh@a:2181/x").unwrap().login(), Some("me:hu@sh"));
    }

    #[test]
    fn what_is_wrong_is_said_without_any_part_of_a_password() {
        let server = |server: &str| MastersError::Server { server: server.into() };
        let login = |servers: &str| MastersError::Login { servers: servers.into() };
        let path = || MastersError::Path { servers: "a:2181".into() };
        for (text, expected) in [
            ("zk:///mesos", server("")),
            ("zk://a b/mesos", server("a b")),
            ("zk://a:0/mesos", server("a:…")),
            ("zk://a:2181,,b:2181/mesos", server("")),
            ("zk://me:hush@a:b/mesos", server("a:…")),
            ("zk://me:hush@/mesos", server("")),
            ("zk://me:hush/mesos", server("me:…")),
            ("zk://me:hush", server("me:…")),
            ("me:hush@a:2181/mesos", server("")),
            ("zk://a:2181", path()),
            ("zk://a:2181/", path()),
            ("zk://a:2181//mesos", path()),
            ("zk://me:hush@a:2181", path()),
            ("zk://hush@a:2181/mesos", login("a:2181")),
            ("zk://:hush@a:2181/mesos", login("a:2181")),
            ("zk://me:hu/sh@a:2181/x", login("a:2181")),
            ("zk://me:hu/sh@hu/sh@a:2181,b/x", login("a:2181,b:2181")),
            ("zk://me:hu/sh@hu:sh/x", login("HOST:PORT")),
            ("zk://me:hu/sh@", login("HOST:PORT")),
        ] {
            let error = ZooKeeperUrl::parse(text).unwrap_err();
            assert_eq!(error, expected, "{text}");
            let said = format!("{error} {error:?}");
            assert!(!said.contains("hu") && !said.contains("sh"), "{said}");
        }
    }
}
