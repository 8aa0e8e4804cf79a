//! What is free on the agents, as the master's `/slaves` says it.

use std::collections::BTreeMap;

use millstream_mesos::scheduler::{AskError, Config, get_json};
use millstream_placement::{AgentOffer, Place, Resources};
use millstream_scheduler::role_may_use;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

/// A big cluster's list: 50,000 agents of about 2 KiB each.
const ANSWER_BYTES_MAX: usize = 128 << 20;

#[derive(Debug, Deserialize)]
struct Slaves {
    slaves: Vec<Slave>,
    /// Known from before a failover, and not back yet.
    #[serde(default)]
    recovered_slaves: Vec<IgnoredAny>,
}

#[derive(Debug, Clone, Deserialize)]
struct Slave {
    id: String,
    hostname: String,
    /// `slave(1)@127.0.1.1:5051`
    #[serde(default)]
    pid: String,
    active: bool,
    #[serde(default)]
    attributes: BTreeMap<String, Value>,
    resources: Amounts,
    #[serde(default)]
    used_resources: Amounts,
    /// What every role may have; with `reserved_resources`, a finer view of `resources`.
    #[serde(default)]
    unreserved_resources: Option<Amounts>,
    #[serde(default)]
    reserved_resources: BTreeMap<String, Amounts>,
    #[serde(default)]
    domain: Option<Domain>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Amounts {
    #[serde(default)]
    cpus: f64,
    #[serde(default)]
    mem: f64,
    #[serde(default)]
    disk: f64,
    /// `[31000-31099, 31200-31200]`
    #[serde(default)]
    ports: String,
}

impl Amounts {
    fn ports(&self) -> f64 {
        let ranges = self.ports.trim_matches(['[', ']']).split(',');
        let range = |range: &str| {
            let (begin, end) = range.trim().split_once('-')?;
            Some(end.parse::<f64>().ok()? - begin.parse::<f64>().ok()? + 1.0)
        };
        ranges.filter_map(range).sum()
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Domain {
    fault_domain: Option<FaultDomain>,
}

#[derive(Debug, Clone, Deserialize)]
struct FaultDomain {
    region: Named,
    zone: Named,
}

#[derive(Debug, Clone, Deserialize)]
struct Named {
    name: String,
}

/// The active agents, as the leading master tells them.
pub(crate) struct Agents {
    told: Slaves,
    role: String,
}

impl Agents {
    /// Asks the leading master.
    pub(crate) async fn ask(session: &Config, role: &str) -> Result<Self, AskError> {
        let mut told: Slaves = get_json(session, "/slaves", ANSWER_BYTES_MAX).await?;
        told.slaves.retain(|slave| slave.active);
        Ok(Agents { told, role: role.to_owned() })
    }

    /// One offer for each, of all that is free there.
    pub(crate) fn free(self) -> Vec<AgentOffer> {
        self.told.slaves.into_iter().map(|slave| slave.offer(&self.role)).collect()
    }

    /// The same of all that the role could have there if nothing were in use; none as long as some agents are not back after
    /// a failover: those may be the larger ones.
    pub(crate) fn whole(&self) -> Vec<AgentOffer> {
        let unused = |slave: &Slave| Slave { used_resources: Amounts::default(), ..slave.clone() };
        match self.told.recovered_slaves.is_empty() {
            true => self.told.slaves.iter().map(|slave| unused(slave).offer(&self.role)).collect(),
            false => vec![],
        }
    }
}

impl Slave {
    fn offer(self, role: &str) -> AgentOffer {
        let ours = |of: fn(&Amounts) -> f64| {
            let mine = self.reserved_resources.iter().filter(|(name, _)| role_may_use(role, name));
            mine.map(|(_, amounts)| of(amounts)).sum::<f64>()
        };
        let total = |of: fn(&Amounts) -> f64| match &self.unreserved_resources {
            Some(unreserved) => of(unreserved) + ours(of),
            None => of(&self.resources),
        };
        // Saturates below 0: what others have reserved may be in use, too.
        let free = |of: fn(&Amounts) -> f64, unit: f64| ((total(of) - of(&self.used_resources)) * unit).round() as u64;
        let reserved = |of: fn(&Amounts) -> f64, unit: f64| free(of, unit).min((ours(of) * unit).round() as u64);
        let resources = Resources {
            cpus_milli: free(|a| a.cpus, 1000.0),
            mem_bytes: free(|a| a.mem, 1_048_576.0),
            disk_bytes: free(|a| a.disk, 1_048_576.0),
            ports: free(Amounts::ports, 1.0) as u32,
        };
        let reserved = Resources {
            cpus_milli: reserved(|a| a.cpus, 1000.0),
            mem_bytes: reserved(|a| a.mem, 1_048_576.0),
            ..Resources::default()
        };
        // Texts come as texts (ranges too), numbers as numbers.
        let texts = self.attributes.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        let attributes: BTreeMap<String, String> = texts.collect();
        let scalars = self.attributes.iter().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)));
        let numbers: BTreeMap<String, f64> = scalars.collect();
        let valueless = |name: &&String| !attributes.contains_key(*name) && !numbers.contains_key(*name);
        let attributes_without_text = self.attributes.keys().filter(valueless).cloned().collect();
        let fault_domain = self.domain.and_then(|domain| domain.fault_domain);
        let (region, zone) = fault_domain.map_or((None, None), |d| (Some(d.region.name), Some(d.zone.name)));
        let address =
            self.pid.rsplit('@').next().and_then(|address| address.rsplit_once(':')).map(|(ip, _)| ip.to_owned());
        let mut hosts = vec![self.hostname];
        hosts.extend(address.filter(|ip| *ip != hosts[0]));
        let place = Place {
            hosts,
            rack: attributes.get("rack").cloned(),
            zone: zone.or_else(|| attributes.get("zone").cloned()),
            region: region.or_else(|| attributes.get("region").cloned()),
        };
        AgentOffer {
            agent: self.id.clone(),
            role: role.to_owned(),
            offer_ids: vec![self.id],
            place,
            attributes,
            numbers,
            attributes_without_text,
            resources,
            reserved,
            // The list does not tell what is lent.
            revocable: Resources::default(),
            volumes: Default::default(),
            executors_of: vec![],
            unavailable_from_ms: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_read_as_mesos_tells_it() {
        let slave = r#"{"id":"S0","hostname":"node-1","pid":"slave(1)@127.0.1.1:5051","active":true,"attributes":{"rack":"r1","broker":1.0},
            "resources":{"cpus":4.0,"mem":4096.0,"disk":100.0,"ports":"[31000-31099]"},"used_resources":{"cpus":0.6,"mem":320.0}}"#;
        let offer = serde_json::from_str::<Slave>(slave).unwrap().offer("r");
        assert_eq!(offer.place.hosts, ["node-1", "127.0.1.1"]);
        assert_eq!(offer.place.rack.as_deref(), Some("r1"));
        assert_eq!(
            offer.resources,
            Resources { cpus_milli: 3400, mem_bytes: 3776 << 20, disk_bytes: 100 << 20, ports: 100 }
        );
        assert_eq!(offer.numbers, BTreeMap::from([("broker".to_owned(), 1.0)]));
        assert_eq!(offer.attributes, BTreeMap::from([("rack".to_owned(), "r1".to_owned())]), "a number is no text");
    }

    #[test]
    fn what_others_have_reserved_is_not_free_for_us() {
        let slave = r#"{"id":"S0","hostname":"node-1","active":true,"resources":{"cpus":8.0,"mem":4096.0},
            "unreserved_resources":{"cpus":4.0,"mem":1024.0},"used_resources":{"cpus":1.5,"mem":0.0},
            "reserved_resources":{"r":{"cpus":1.0,"mem":1024.0},"other":{"cpus":3.0,"mem":2048.0}}}"#;
        let offer = serde_json::from_str::<Slave>(slave).unwrap().offer("r");
        assert_eq!(offer.resources, Resources { cpus_milli: 3500, mem_bytes: 2048 << 20, ..Resources::default() });
        assert_eq!(offer.reserved, Resources { cpus_milli: 1000, mem_bytes: 1024 << 20, ..Resources::default() });
    }
}
