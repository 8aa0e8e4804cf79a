//! Addresses (`host:port`) and names of topics.

use std::net::Ipv6Addr;

use super::{
    entry::{Entry, Text},
    report::Report,
};
use crate::Diagnostic;

/// Most addresses in one list: they are only the first contact, a handful is plenty.
const MAX_ADDRESSES: usize = 64;

/// Longest topic name Kafka takes.
const MAX_TOPIC: usize = 249;

/// Reads a list of `host:port`; `port` is the usual one, for help.
pub(super) fn list(entry: &Entry<'_>, port: u16, r: &mut Report<'_>) -> Option<Vec<String>> {
    let items = entry.array(r, &format!("[\"host:{port}\"]"))?;
    if items.is_empty() || items.len() > MAX_ADDRESSES {
        let what = format!("between 1 and {MAX_ADDRESSES} addresses should be here");
        r.push(Diagnostic::error(entry.span(), what).help(format!("name one or more as `host:{port}`")));
        return None;
    }
    let mut good: Vec<String> = vec![];
    for item in &items {
        let Some(text) = item.string(r) else { continue };
        match check(text.value) {
            Ok(()) if good.iter().any(|g| g == text.value) => {
                r.push(Diagnostic::error(text.span, "this address is there twice").help("remove one of them"));
            }
            Ok(()) => good.push(text.value.to_owned()),
            Err(why) => r.push(
                Diagnostic::error(text.span, format!("this is not `host:port`: {why}")).help(remedy(text.value, port)),
            ),
        }
    }
    (good.len() == items.len()).then_some(good)
}

fn check(address: &str) -> Result<(), &'static str> {
    if address.contains("://") {
        return Err("it has a scheme");
    }
    if address.contains(',') {
        return Err("it is a list");
    }
    if is_variable(address) {
        return Err("variables are not expanded in a job file");
    }
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("the bracket is not closed")?;
            host.parse::<Ipv6Addr>().map_err(|_| "there is no IPv6 address between the brackets")?;
            (host, rest.strip_prefix(':').ok_or("the port is missing")?)
        }
        None => address.rsplit_once(':').ok_or("the port is missing")?,
    };
    if host.is_empty() {
        return Err("the host is missing");
    }
    if !address.starts_with('[') && host.contains(':') {
        return Err("an IPv6 address needs brackets");
    }
    if host.contains(|c: char| c.is_whitespace() || c.is_control() || "/@\"'\\\\<>|*?!#&;=()".contains(c)) {
        return Err("the host has characters no host has");
    }
    match port.parse::<u16>() {
        Ok(1..) if port.bytes().all(|b| b.is_ascii_digit()) => Ok(()),
        _ => Err("the port is not a number from 1 to 65535"),
    }
}

/// Whether it looks like a variable of a shell or of a template: `$HOST`, `${HOST}`, `{{ host }}`, `%HOST%`.
fn is_variable(address: &str) -> bool {
    address.contains(['$', '%', '{', '}'])
}

fn remedy(address: &str, port: u16) -> String {
    let bare = address.rsplit("://").next().unwrap_or(address).trim_end_matches('/');
    if address.contains(',') {
        return "write each address as a string of its own, with a comma between the strings".to_owned();
    }
    if is_variable(address) {
        return format!(
            "write the address itself, for example \"kafka-1.example:{port}\", or fill the file in before it is deployed (envsubst)"
        );
    }
    if bare != address && check(bare).is_ok() {
        return format!("write \"{bare}\"");
    }
    if address.parse::<Ipv6Addr>().is_ok() {
        return format!("write \"[{address}]:{port}\"");
    }
    if check(&format!("{bare}:{port}")).is_ok() {
        return format!("for example \"{bare}:{port}\"");
    }
    format!("for example \"127.0.0.1:{port}\"")
}

/// Reads the name of a topic.
pub(super) fn topic(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<String> {
    let text = entry.string(r)?;
    match topic_error(&text) {
        None => Some(text.value.to_owned()),
        Some(why) => {
            r.push(
                Diagnostic::error(text.span, format!("this is not the name of a topic: {why}"))
                    .help(format!("Kafka takes 1 to {MAX_TOPIC} of a-z, A-Z, 0-9, `.`, `_` and `-`")),
            );
            None
        }
    }
}

fn topic_error(text: &Text<'_>) -> Option<&'static str> {
    match text.value {
        "" => Some("it is empty"),
        "." | ".." => Some("Kafka keeps it for itself"),
        name if name.len() > MAX_TOPIC => Some("it is too long"),
        name if name.contains(',') => Some("a job reads one topic"),
        name if name.contains(['*', '^', '$', '|', '(']) => Some("patterns are not possible, a job reads one topic"),
        name if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) => {
            Some("it has characters no topic has")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["127.0.1.1:9092", "kafka-1.example:9092", "[::1]:9042", "localhost:1"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "host",
            "host:",
            ":9092",
            "host:0",
            "host:70000",
            "host:+1",
            "::1:9092",
            "[::1]",
            "[x]:1",
            "a b:1",
            "http://h:1",
            "a:1,b:2",
            "${HOST}:9092",
            "$HOST:9092",
            "kafka:${PORT}",
            "{{ host }}:9092",
            "%HOST%:9092",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn remedies_show_what_was_meant() {
        assert_eq!(remedy("localhost", 9092), "for example \"localhost:9092\"");
        assert_eq!(remedy("http://localhost:9092/", 9092), "write \"localhost:9092\"");
        assert_eq!(remedy("::1", 9042), "write \"[::1]:9042\"");
    }
}
