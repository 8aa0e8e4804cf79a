//! Who leads, from what ZooKeeper holds. Pure.
//!
//! Each master that wants to lead has an ephemeral, sequential znode `json.info_<sequence>` below the masters' path; the
//! smallest sequence leads (src/zookeeper/detector.cpp, src/master/constants.hpp of 1.11). Other children, as
//! `log_replicas`, stand beside them.

use serde::Deserialize;

use super::super::{MasterUrl, Scheme};

/// Begins the name of a master's znode.
const LABEL: &str = "json.info_";

/// A master that leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Leader {
    /// Tells one election from the next, also of the same master.
    pub(in super::super) znode: String,
    address: Address,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    hostname: Option<String>,
    ip: Option<String>,
    port: u16,
}

/// `MasterInfo`: `address` since 0.24, the others for what is older.
#[derive(Debug, Deserialize)]
struct MasterInfo {
    #[serde(default)]
    address: Option<AddressInfo>,
    /// `master@ip:port`
    #[serde(default)]
    pid: Option<String>,
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default)]
    port: Option<u16>,
}

#[derive(Debug, Deserialize)]
struct AddressInfo {
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default)]
    ip: Option<String>,
    #[serde(default)]
    port: Option<u16>,
}

/// The child that leads.
pub(super) fn leading(children: &[String]) -> Option<&str> {
    let sequence = |name: &str| name.strip_prefix(LABEL)?.parse::<i32>().ok();
    let masters = children.iter().filter_map(|name| Some((sequence(name)?, name.as_str())));
    masters.min().map(|(_, name)| name)
}

impl Leader {
    /// Reads what the leading child holds; the error is for people.
    pub(in super::super) fn parse(znode: &str, data: &[u8]) -> Result<Self, String> {
        let unreadable = |why: &dyn std::fmt::Display| format!("{znode} holds no MasterInfo: {why}");
        let info: MasterInfo = serde_json::from_slice(data).map_err(|error| unreadable(&error))?;
        let pid = info.pid.as_deref().and_then(|pid| pid.rsplit_once('@')?.1.rsplit_once(':'));
        let (pid_ip, pid_port) = pid.unzip();
        let address = info.address.unwrap_or(AddressInfo { hostname: None, ip: None, port: None });
        let given = |text: &String| !text.is_empty();
        let hostname = address.hostname.or(info.hostname).filter(given);
        let ip = address.ip.or(pid_ip.map(str::to_owned)).filter(given);
        let port = address.port.or(pid_port.and_then(|port| port.parse().ok())).or(info.port);
        match port {
            Some(port) if hostname.is_some() || ip.is_some() => {
                Ok(Self { znode: znode.into(), address: Address { hostname, ip, port } })
            }
            _ => Err(unreadable(&"it lacks the address")),
        }
    }

    /// Where to ask for it, the best first. In the clear by its address, as Mesos' own detectors do: it is always there
    /// and needs no resolver, while the name "may be unreliable" (mesos.proto). By TLS by its name, since that is what
    /// certificates are made out to, and as masters do in redirects.
    pub(in super::super) fn urls(&self, scheme: Scheme) -> Vec<MasterUrl> {
        let Address { hostname, ip, port } = &self.address;
        let mut hosts = match scheme {
            Scheme::Http => [ip, hostname],
            Scheme::Https => [hostname, ip],
        }
        .into_iter()
        .flatten()
        .collect::<Vec<_>>();
        hosts.dedup();
        let authority = |host: &String| match host.contains(':') && !host.starts_with('[') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        hosts.into_iter().map(|host| MasterUrl { scheme, authority: authority(host) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leading_of<'a>(children: &'a [&'a str]) -> Option<String> {
        leading(&children.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).map(str::to_owned)
    }

    fn urls(data: &str, scheme: Scheme) -> Vec<String> {
        Leader::parse("z", data.as_bytes()).unwrap().urls(scheme).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_smallest_sequence_leads_whatever_stands_beside_it() {
        let children =
            ["log_replicas", "json.info_0000000012", "json.info_0000000003", "info_0000000001", "json.info_x"];
        assert_eq!(leading_of(&children).as_deref(), Some("json.info_0000000003"));
        assert_eq!(leading_of(&["json.info_2147483647", "json.info_-2147483648"]).unwrap(), "json.info_-2147483648");
        assert_eq!(leading_of(&["log_replicas"]), None);
        assert_eq!(leading_of(&[]), None);
    }

    #[test]
    fn a_master_is_read_as_mesos_writes_it() {
        let data = r#"{"address":{"hostname":"m1.example","ip":"10.0.0.1","port":5051},"capabilities":[{"type":"QUOTA_V2"}],
            "hostname":"m1.example","id":"17e1","ip":16777226,"pid":"master@10.0.0.1:5051","port":5051,"version":"1.11.0"}"#;
        assert_eq!(urls(data, Scheme::Http), ["http://10.0.0.1:5051", "http://m1.example:5051"]);
        assert_eq!(urls(data, Scheme::Https), ["https://m1.example:5051", "https://10.0.0.1:5051"]);
    }

    #[test]
    fn fields_may_lack() {
        assert_eq!(urls(r#"{"pid":"master@10.0.0.1:5050"}"#, Scheme::Http), ["http://10.0.0.1:5050"]);
        assert_eq!(urls(r#"{"hostname":"m1","port":5050,"ip":1}"#, Scheme::Http), ["http://m1:5050"]);
        assert_eq!(urls(r#"{"address":{"ip":"::1","port":1}}"#, Scheme::Http), ["http://[::1]:1"]);
        let both = r#"{"address":{"ip":"127.0.0.1","hostname":"127.0.0.1","port":5050}}"#;
        assert_eq!(urls(both, Scheme::Https), ["https://127.0.0.1:5050"]);
        for data in ["", "[]", "{}", r#"{"port":5050}"#, r#"{"hostname":"m1"}"#, r#"{"address":{"ip":"","port":1}}"#] {
            let error = Leader::parse("json.info_1", data.as_bytes()).unwrap_err();
            assert!(error.starts_with("json.info_1 holds no MasterInfo"), "{error}");
        }
    }
}
