use std::fmt;

use super::ZooKeeperUrl;

/// How a master is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// By TLS.
    Https,
}

/// Where a master listens. Shown as `http://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterUrl {
    /// In the clear or not.
    pub scheme: Scheme,
    /// `host:port`
    pub authority: String,
}

/// Where the masters are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Masters {
    /// Each of them, or some; any of them leads to the leader.
    List(Vec<MasterUrl>),
    /// The ZooKeeper that elects the leader.
    ZooKeeper(ZooKeeperUrl),
}

/// Why masters are not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MastersError {
    /// There is none.
    #[error("no master is named; write host:port of each, or zk://host:port/path")]
    Empty,
    /// One that is none.
    #[error("{text:?} is no master; write host:port, http://host:port, https://host:port or zk://host:port,…/path")]
    Address {
        /// As it was given.
        text: String,
    },
    /// One with a name and a password.
    #[error("{address:?} stands behind a login, which belongs into the settings: principal and secret in [mesos]")]
    Credentials {
        /// What stands behind the login.
        address: String,
    },
    /// One that is meant for ZooKeeper.
    #[error("{address:?} is named as a ZooKeeper, but not in its form: zk://host1:2181,host2:2181/mesos")]
    NoZooKeeper {
        /// As it was given, but what stands before an `@`.
        address: String,
    },
    /// `zk://` beside others.
    #[error(
        "zk:// stands alone: ZooKeeper knows all masters; its servers are one text, as in zk://host1:2181,host2:2181/mesos"
    )]
    Mixed,
    /// A `zk://` without servers, or with one that is none.
    #[error("{server:?} is no ZooKeeper server; write zk://host1:port,host2:port/path")]
    Server {
        /// As it was given.
        server: String,
    },
    /// A `zk://` without a path, or with a wrong one.
    #[error("zk://{servers} wants a path, as in zk://{servers}/mesos: that of the masters' --zk")]
    Path {
        /// `host:port,…`
        servers: String,
    },
    /// `zk://` with half of a name and password.
    #[error("the login of {servers} is no user:password; write zk://user:password@{servers}/path")]
    Login {
        /// `host:port,…`
        servers: String,
    },
}

impl MastersError {
    /// What stands before an `@` may be a password, and is not shown.
    fn address(text: &str) -> Self {
        let login = text.rsplit_once('@');
        let address = login.map_or(text, |(_, address)| address).to_owned();
        match login {
            _ if text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("zk:")) => Self::NoZooKeeper { address },
            Some(_) if !address.is_empty() => Self::Credentials { address },
            _ => Self::Address { text: address },
        }
    }
}

impl Scheme {
    pub(super) fn of(tls: bool) -> Self {
        if tls { Self::Https } else { Self::Http }
    }
}

impl MasterUrl {
    /// `host:port`, with or without a scheme; `default` is the scheme of one without.
    fn parse(text: &str, default: Scheme) -> Result<Self, MastersError> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(_) => return Err(MastersError::address(text)),
            None => (default, text),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        match is_host_and_port(authority) {
            true => Ok(Self { scheme, authority: authority.into() }),
            false => Err(MastersError::address(text)),
        }
    }
}

impl fmt::Display for Masters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZooKeeper(url) => url.fmt(f),
            Self::List(list) => f.write_str(&list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
        }
    }
}

impl fmt::Display for MasterUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}", self.authority)
    }
}

impl Masters {
    /// One `zk://[user:password@]host:port,…/path`, or each master as `host:port` with or without `http://` or
    /// `https://`; `default` is the scheme of one without.
    pub fn parse<T: AsRef<str>>(texts: &[T], default: Scheme) -> Result<Self, MastersError> {
        let texts: Vec<&str> = texts.iter().map(|text| text.as_ref().trim()).collect();
        match texts[..] {
            [] => Err(MastersError::Empty),
            [text] if text.starts_with(ZooKeeperUrl::SCHEME) => ZooKeeperUrl::parse(text).map(Self::ZooKeeper),
            _ if texts.iter().any(|text| text.starts_with(ZooKeeperUrl::SCHEME)) => Err(MastersError::Mixed),
            _ => {
                texts.into_iter().map(|text| MasterUrl::parse(text, default)).collect::<Result<_, _>>().map(Self::List)
            }
        }
    }
}

/// `host:port`, and nothing before, between or behind.
pub(super) fn is_host_and_port(authority: &str) -> bool {
    let Some((host, port)) = authority.rsplit_once(':') else { return false };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_one = match bare {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "/@:?#[],".contains(c)),
    };
    host_is_one && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str], default: Scheme) -> Vec<String> {
        match Masters::parse(texts, default) {
            Ok(Masters::List(masters)) => masters.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn masters_are_written_in_three_ways() {
        let texts = ["a:5050", "http://10.0.0.1:5051", "https://[::1]:5052/"];
        assert_eq!(list(&texts, Scheme::Http), ["http://a:5050", "http://10.0.0.1:5051", "https://[::1]:5052"]);
        assert_eq!(list(&texts, Scheme::Https)[..2], ["https://a:5050", "http://10.0.0.1:5051"]);
    }

    #[test]
    fn what_is_no_master_is_refused_by_name_and_without_passwords() {
        for text in
            ["", "a", ":5050", "a:0", "a:99999", "ftp://a:1", "a:1/path", "a b:1", "a:1,b:2", "[a]:1", "::1:5050"]
        {
            let error = Masters::parse(&[text], Scheme::Http).unwrap_err();
            assert_eq!(error, MastersError::Address { text: text.into() });
        }
        for text in ["http://me:hush@a:5050", "me:hush@a:5050", "Zk://me:hush@a:5050/mesos", "zk:/me:hu/hush@a:5050/x"]
        {
            let error = Masters::parse(&[text], Scheme::Http).unwrap_err().to_string();
            assert!(error.contains("a:5050") && !error.contains("hu"), "{error}");
        }
        let said = |text: &str| Masters::parse(&[text], Scheme::Http).unwrap_err().to_string();
        assert!(said("me:hush@a:5050").contains("principal and secret in [mesos]"));
        assert!(said("zk:/a:2181/mesos").contains("zk://host1:2181"));
        assert_eq!(Masters::parse::<&str>(&[], Scheme::Http), Err(MastersError::Empty));
    }

    #[test]
    fn zookeeper_stands_alone() {
        assert!(matches!(Masters::parse(&[" zk://a:2181/mesos "], Scheme::Http), Ok(Masters::ZooKeeper(_))));
        for texts in [["zk://a:2181/mesos", "b:5050"], ["zk://a:2181", "zk://b:2181/mesos"]] {
            assert_eq!(Masters::parse(&texts, Scheme::Http), Err(MastersError::Mixed));
        }
    }
}
