//! Which places in ZooKeeper may hold the state: `zk://a:2181,b:2181/millstream`.

use millstream_mesos::scheduler::{MastersError, ZooKeeperUrl};

/// Longest path: with a record's name it stays far below the room that a transaction leaves for names.
const PATH_BYTES_MAX: usize = 128;

/// Reads such a place; the error is for people and repeats no secret.
pub fn parse(text: &str) -> Result<ZooKeeperUrl, String> {
    let form = |what: &str| format!("{what}; write it as zk://HOST:PORT,HOST:PORT/millstream");
    if !text.starts_with(ZooKeeperUrl::SCHEME) {
        return Err(form("it does not begin with zk://"));
    }
    let login = "a login in an address would be seen by everybody: name it as `zookeeper_login` in [state] of the file of --config";
    let url = ZooKeeperUrl::parse(text).map_err(|error| match error {
        MastersError::Login { .. } => login.to_owned(),
        MastersError::Server { server } if !server.is_empty() => {
            form(&format!("`{server}` is no server; one is named by host and port"))
        }
        MastersError::Server { .. } => form("a server is named by host and port"),
        _ => form("the path of a node is missing"),
    })?;
    if url.login().is_some() {
        return Err(login.to_owned());
    }
    let path = url.path().trim_start_matches('/');
    let parts_fit = path.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && is_plain(part));
    if !parts_fit || path.starts_with("zookeeper") || path.len() > PATH_BYTES_MAX {
        return Err(form("the path is one of plain names, not ZooKeeper's own, and not the root"));
    }
    Ok(url)
}

fn is_plain(part: &str) -> bool {
    part.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_servers_and_a_path() {
        let url = parse("zk://a:2181,b.example:2182,c/teams/millstream/").unwrap();
        assert_eq!((url.servers(), url.path()), ("a:2181,b.example:2182,c:2181", "/teams/millstream"));
        assert_eq!(url.to_string(), "zk://a:2181,b.example:2182,c:2181/teams/millstream");
    }

    #[test]
    fn what_is_no_place_is_refused_without_repeating_a_secret() {
        for text in [
            "a:2181/millstream",
            "zk:/a:2181/millstream",
            "zk://a:2181",
            "zk://a:2181/",
            "zk:///millstream",
            "zk://a:2181,/millstream",
            "zk://a:port/millstream",
            "zk://a:2181/x//y",
            "zk://a:2181/../x",
            "zk://a:2181/zookeeper/x",
            "zk://user:hunter2@a:2181/millstream",
            "zk://user:hunter2@a:2181",
            "zk://user:hunter2/@a:2181/millstream",
            "zk://user:hunter2/millstream",
        ] {
            let error = parse(text).expect_err(text);
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
