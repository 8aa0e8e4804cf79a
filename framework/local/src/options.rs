use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

use millstream_mesos_types::{
    Attribute, DomainInfo, FaultDomain, Named, Range, Ranges, Resource, ResourceType, Scalar, Text,
};
use serde_json::json;

use crate::cluster::{Amounts, Settings};

/// Racks that `%r` goes round, as in the testbed's other servers.
const RACKS: usize = 3;
/// Agents on one /24 of the loopback network.
const AGENTS_PER_NET: usize = 250;

/// What to start.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// How many agents: agent I (from 1) on 127.0.1.I.
    pub agents: usize,
    /// The master's port on 127.0.0.1; 0 for any.
    pub port: u16,
    /// Every agent's port; 0 for any.
    pub agent_port: u16,
    /// Holds the sandboxes.
    pub work_dir: PathBuf,
    /// Of each agent: `cpus:4;mem:4096;ports:[31000-31099]`, mem and disk in MiB. As Mesos writes them: `cpus(role):2` is
    /// reserved for a role, `cpus{REV}:2` revocable.
    pub resources: String,
    /// Of each agent: `rack:r%r;broker:%d`, where `%d` is the agent's number and `%r` 1 to 3 in turn.
    pub attributes: String,
    /// Of each agent: `region/zone`, with `%d` and `%r` as in attributes; none for no fault domain.
    pub domain: Option<String>,
    /// How often what nobody uses is offered.
    pub allocation_interval: Duration,
    /// The timers of the cluster.
    pub settings: Settings,
}

impl LocalOptions {
    /// Three agents on Mesos' own ports, as big as the testbed's.
    pub fn new(work_dir: impl Into<PathBuf>) -> Self {
        Self {
            agents: 3,
            port: 5050,
            agent_port: 5051,
            work_dir: work_dir.into(),
            resources: "cpus:4;mem:4096;disk:10240;ports:[31000-31099]".into(),
            attributes: "rack:r%r;broker:%d".into(),
            domain: None,
            allocation_interval: Duration::from_millis(200),
            settings: Settings::default(),
        }
    }
}

/// Which option cannot be read, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// Not `name:value;…`.
    #[error(
        "resource {0:?} is neither name:number nor name:[begin-end,…], with (role) or {{REV}} after the name if it is so"
    )]
    Resource(String),
    /// Not `region/zone`.
    #[error("domain {0:?} is not region/zone")]
    Domain(String),
    /// Not `name:value;…`.
    #[error("attribute {0:?} is not name:value")]
    Attribute(String),
    /// None, or more than there are addresses.
    #[error("{0} agents: from 1 to 60000 are possible")]
    Agents(usize),
}

/// Address of agent `number` (from 1): 127.0.1.1 to 127.0.1.250, then 127.0.2.1 and so on.
pub(crate) fn agent_address(number: usize) -> Result<Ipv4Addr, OptionsError> {
    let index = number.checked_sub(1).ok_or(OptionsError::Agents(number))?;
    let net = u8::try_from(1 + index / AGENTS_PER_NET).map_err(|_| OptionsError::Agents(number))?;
    Ok(Ipv4Addr::new(127, 0, net, (index % AGENTS_PER_NET + 1) as u8))
}

/// Reads `cpus:4;cpus(role):2;cpus{REV}:1;ports:[31000-31099]`.
pub(crate) fn parse_resources(text: &str) -> Result<Amounts, OptionsError> {
    let mut resources = vec![];
    for part in parts(text) {
        let bad = || OptionsError::Resource(part.to_owned());
        let (name, value) = part.split_once(':').ok_or_else(bad)?;
        let mut resource = marked_resource(name.trim()).ok_or_else(bad)?;
        match value.trim().strip_prefix('[').and_then(|value| value.strip_suffix(']')) {
            None => resource.scalar = Some(Scalar { value: value.trim().parse().map_err(|_| bad())? }),
            Some(list) => {
                let range = |text: &str| {
                    let (begin, end) = text.trim().split_once('-')?;
                    Some(Range { begin: begin.parse().ok()?, end: end.parse().ok()? })
                };
                let ranges: Option<Vec<_>> = list.split(',').map(range).collect();
                resource.kind = ResourceType::Ranges;
                resource.scalar = None;
                resource.ranges = Some(Ranges { range: ranges.ok_or_else(bad)? });
            }
        }
        resources.push(resource);
    }
    Amounts::of(&resources).map_err(|error| OptionsError::Resource(error.to_string()))
}

/// Reads `rack:r%r;broker:%d` for one agent. As in Mesos a number makes a SCALAR, all else a TEXT.
pub(crate) fn parse_attributes(text: &str, number: usize) -> Result<Vec<Attribute>, OptionsError> {
    let attribute = |part: &str| {
        let (name, value) = part.split_once(':').ok_or_else(|| OptionsError::Attribute(part.to_owned()))?;
        let value = numbered(value.trim(), number);
        let scalar = value.parse().ok().filter(|number: &f64| number.is_finite()).map(|value| Scalar { value });
        Ok(Attribute {
            name: name.trim().into(),
            kind: if scalar.is_some() { "SCALAR" } else { "TEXT" }.into(),
            text: scalar.is_none().then_some(Text { value }),
            scalar,
        })
    };
    parts(text).map(attribute).collect()
}

/// Reads `europe/z%r` for one agent.
pub(crate) fn parse_domain(text: &str, number: usize) -> Result<DomainInfo, OptionsError> {
    let name = |text: &str| Named { name: numbered(text.trim(), number) };
    let (region, zone) = text.split_once('/').ok_or_else(|| OptionsError::Domain(text.to_owned()))?;
    Ok(DomainInfo { fault_domain: Some(FaultDomain { region: name(region), zone: name(zone) }) })
}

/// `cpus`, `cpus(role)`, `cpus{REV}`, `cpus(role){REV}`, without an amount.
fn marked_resource(text: &str) -> Option<Resource> {
    let (text, revocable) = match text.strip_suffix("{REV}") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (name, role) = match text.split_once('(') {
        Some((name, role)) => (name, role.strip_suffix(')')?),
        None => (text, "*"),
    };
    let mut resource = Resource::scalar(name, 0.0, None);
    if revocable {
        resource.rest.insert("revocable".into(), json!({}));
    }
    if role != "*" {
        resource.rest.insert("reservations".into(), json!([{ "type": "STATIC", "role": role }]));
    }
    is_plain(name).then_some(resource)
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || "_-.".contains(char))
}

fn numbered(text: &str, number: usize) -> String {
    let rack = number.saturating_sub(1) % RACKS + 1;
    text.replace("%d", &number.to_string()).replace("%r", &rack.to_string())
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(';').map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_have_addresses_of_their_own() {
        let address = |number| agent_address(number).map(|address| address.to_string());
        assert_eq!(address(1).unwrap(), "127.0.1.1");
        assert_eq!(address(250).unwrap(), "127.0.1.250");
        assert_eq!(address(251).unwrap(), "127.0.2.1");
        assert_eq!(address(0), Err(OptionsError::Agents(0)));
        assert_eq!(address(100_000), Err(OptionsError::Agents(100_000)));
    }

    #[test]
    fn resources_are_read_as_mesos_reads_them() {
        let amounts = parse_resources("cpus:4; mem:4096;ports:[31000-31099, 32000-32001]").unwrap();
        assert_eq!(amounts.to_json()["ports"], "[31000-31099, 32000-32001]");
        assert_eq!(amounts.thousandths("cpus"), 4_000);
        let amounts = parse_resources("cpus:4;cpus(a/b):2;cpus{REV}:8;ports(a):[1-2]").unwrap();
        let of_a = amounts.filter(|kind| kind.reservation_role() == "a/b");
        assert_eq!(of_a.thousandths("cpus"), 2_000);
        assert_eq!(amounts.filter(|kind| kind.revocable).thousandths("cpus"), 8_000);
        for bad in ["cpus", "cpus:x", "ports:[1]", "ports:[2-1]", "cpus:-1", "cpus(a:1", "cpus)a(:1", "(a):1"] {
            assert!(matches!(parse_resources(bad), Err(OptionsError::Resource(_))), "{bad}");
        }
    }

    #[test]
    fn domains_know_their_agent() {
        let domain = parse_domain("eu/z%r", 5).unwrap().fault_domain.unwrap();
        assert_eq!((&*domain.region.name, &*domain.zone.name), ("eu", "z2"));
        assert!(parse_domain("eu", 1).is_err());
    }

    #[test]
    fn attributes_know_their_agent() {
        let attributes = parse_attributes("rack:r%r;broker:%d", 4).unwrap();
        assert_eq!(attributes[0].text.as_ref().unwrap().value, "r1");
        assert_eq!(attributes[1].scalar.unwrap().value, 4.0);
        assert!(parse_attributes("rack", 1).is_err());
    }
}
