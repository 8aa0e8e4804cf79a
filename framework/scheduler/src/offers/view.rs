//! An agent's offers as placement sees them.

use std::collections::{BTreeMap, BTreeSet};

use millstream_mesos_types::{Attribute, DomainInfo, Offer, Unavailability};
use millstream_placement::{AgentOffer, ExecutorOf, Place};

use crate::{
    resources::{self, Usable},
    volumes,
};

/// Place of an agent. Rack: its TEXT attribute `rack`. Region and zone: its fault domain, else attributes of these names.
pub fn place_of(hostname: &str, ip: Option<&str>, attributes: &[Attribute], domain: Option<&DomainInfo>) -> Place {
    let text = |name: &str| texts(attributes).remove(name);
    let fault_domain = domain.and_then(|domain| domain.fault_domain.as_ref());
    let mut hosts = vec![hostname.to_owned()];
    hosts.extend(ip.filter(|ip| *ip != hostname).map(str::to_owned));
    Place {
        hosts,
        rack: text("rack"),
        zone: fault_domain.map(|domain| domain.zone.name.clone()).or_else(|| text("zone")),
        region: fault_domain.map(|domain| domain.region.name.clone()).or_else(|| text("region")),
    }
}

/// All offers of one agent to one role as one. `maintenance_at_ms` turns a maintenance into the time on the clock of the
/// problem at which it begins; none for one that does not count. None without offers.
pub fn agent_offer(
    role: &str,
    offers: &[Offer],
    executors_of: Vec<ExecutorOf>,
    maintenance_at_ms: impl Fn(&Unavailability) -> Option<u64>,
) -> Option<AgentOffer> {
    let first = offers.first()?;
    let Usable { firm, reserved, revocable } =
        resources::usable(offers.iter().flat_map(|offer| &offer.resources), role);
    Some(AgentOffer {
        agent: first.agent_id.value.clone(),
        role: role.into(),
        offer_ids: offers.iter().map(|offer| offer.id.value.clone()).collect(),
        place: place_of(&first.hostname, ip(first), &first.attributes, first.domain.as_ref()),
        attributes: texts(&first.attributes),
        numbers: numbers(&first.attributes),
        attributes_without_text: without_value(&first.attributes),
        resources: firm,
        reserved,
        revocable,
        volumes: offers.iter().flat_map(|offer| &offer.resources).filter_map(volumes::id_of).collect(),
        executors_of,
        unavailable_from_ms: offers.iter().filter_map(|offer| maintenance_at_ms(offer.unavailability.as_ref()?)).min(),
    })
}

pub(crate) fn ip(offer: &Offer) -> Option<&str> {
    offer.url.as_ref()?.address.ip.as_deref()
}

/// The attributes that count: of several of one name the first, as for Mesos.
fn firsts(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    let mut seen = BTreeSet::new();
    attributes.iter().filter(move |attribute| seen.insert(&attribute.name))
}

/// TEXT attributes.
fn texts(attributes: &[Attribute]) -> BTreeMap<String, String> {
    firsts(attributes).filter_map(|a| Some((a.name.clone(), a.text.as_ref()?.value.clone()))).collect()
}

/// SCALAR attributes.
fn numbers(attributes: &[Attribute]) -> BTreeMap<String, f64> {
    let scalars = firsts(attributes).filter(|a| a.text.is_none());
    scalars.filter_map(|a| Some((a.name.clone(), a.scalar.as_ref()?.value))).collect()
}

/// Names of the attributes that are there and have neither: RANGES.
fn without_value(attributes: &[Attribute]) -> BTreeSet<String> {
    firsts(attributes).filter(|a| a.text.is_none() && a.scalar.is_none()).map(|a| a.name.clone()).collect()
}
