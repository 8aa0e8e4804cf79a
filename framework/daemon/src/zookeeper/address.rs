//! `zk://a:2181,b:2181/millstream`

use std::{fmt, str::FromStr};

/// What an address begins with.
pub const SCHEME: &str = "zk://";

/// Longest path: with a record's name it stays far below the room that a transaction leaves for names.
const ROOT_BYTES_MAX: usize = 128;

/// The servers of a ZooKeeper and the node all of ours lies below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `host:port` of each server, with commas between.
    pub servers: String,
    /// Path of the node, without a slash at its end.
    pub root: String,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = |what: &str| format!("{what}; write it as zk://HOST:PORT,HOST:PORT/millstream");
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| form("it does not begin with zk://"))?;
        if rest.contains('@') {
            return Err("a login is not supported, and a secret in an address would be seen by everybody".into());
        }
        let (servers, root) = rest.split_once('/').ok_or_else(|| form("the path of a node is missing"))?;
        let root = root.trim_end_matches('/');
        if servers.split(',').any(|server| !is_server(server)) {
            return Err(form("a server is named by host and port"));
        }
        let parts_fit = root.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && is_plain(part));
        if !parts_fit || root.starts_with("zookeeper") || root.len() > ROOT_BYTES_MAX {
            return Err(form("the path is one of plain names, not ZooKeeper's own, and not the root"));
        }
        Ok(Address { servers: servers.to_owned(), root: format!("/{root}") })
    }
}

fn is_server(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "2181"));
    !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c))
        && port.parse::<u16>().is_ok()
}

fn is_plain(part: &str) -> bool {
    part.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}{}", self.servers, self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_servers_and_a_path() {
        let address: Address = "zk://a:2181,b.example:2182,c/teams/millstream/".parse().unwrap();
        assert_eq!(address.servers, "a:2181,b.example:2182,c");
        assert_eq!(address.root, "/teams/millstream");
        assert_eq!(address.to_string(), "zk://a:2181,b.example:2182,c/teams/millstream");
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_a_secret() {
        for text in [
            "a:2181/millstream",
            "zk://a:2181",
            "zk://a:2181/",
            "zk:///millstream",
            "zk://a:2181,/millstream",
            "zk://a:port/millstream",
            "zk://a:2181/x//y",
            "zk://a:2181/../x",
            "zk://a:2181/zookeeper/x",
            "zk://user:hunter2@a:2181/millstream",
        ] {
            let error = text.parse::<Address>().expect_err(text);
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
