//! How masters are named. Only the form: who leads is found out by the session.

use crate::zookeeper::address::{Address, SCHEME};

const FORM: &str =
    "name masters as HOST:PORT or https://HOST:PORT, or their ZooKeeper as zk://HOST:PORT,HOST:PORT/mesos";

/// What is wrong with the masters' names, as far as their form says it.
pub(super) fn problem(masters: &[String]) -> Option<&'static str> {
    if masters.iter().any(|master| master.contains('@')) {
        return Some("a login in an address would be seen by everybody: see `principal` and `secret`");
    }
    let zookeepers = masters.iter().filter(|master| master.starts_with(SCHEME)).count();
    match (zookeepers, masters) {
        (0, []) => Some(FORM),
        (0, masters) => (!masters.iter().all(|master| is_master(master))).then_some(FORM),
        (1, [zookeeper]) => zookeeper.parse::<Address>().is_err().then_some(FORM),
        _ => Some("one zk://HOST:PORT,HOST:PORT/mesos finds all masters: name nothing else beside it"),
    }
}

/// May certificates matter? What ZooKeeper names is known only later.
pub(super) fn may_be_https(masters: &[String]) -> bool {
    masters.iter().any(|master| master.starts_with("https://") || master.starts_with(SCHEME))
}

fn is_master(text: &str) -> bool {
    let address = text.strip_prefix("https://").or(text.strip_prefix("http://")).unwrap_or(text);
    let parts = address.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(masters: &[&str]) -> Option<&'static str> {
        problem(&masters.iter().map(|master| (*master).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn masters_are_a_list_or_one_zookeeper() {
        let fit: [&[&str]; 4] =
            [&["m1:5050", "m2:5050"], &["https://m1:5050"], &["[::1]:5050"], &["zk://a:2181,b:2181/mesos"]];
        for masters in fit {
            assert_eq!(said(masters), None, "{masters:?}");
        }
        let bad: [(&[&str], &str); 7] = [
            (&[], "HOST:PORT"),
            (&["m1"], "HOST:PORT"),
            (&["m1:5050", ""], "HOST:PORT"),
            (&["ftp://m1:5050"], "HOST:PORT"),
            (&["zk://a:2181"], "zk://"),
            (&["zk://a:2181/mesos", "m1:5050"], "beside"),
            (&["zk://user:secret@a:2181/mesos"], "login"),
        ];
        for (masters, part) in bad {
            assert!(said(masters).is_some_and(|text| text.contains(part)), "{masters:?}: {:?}", said(masters));
        }
    }
}
