//! Tests on an agent.

use crate::{AgentOffer, Constraint, ConstraintTest};

impl Constraint {
    /// Whether the agent fulfils it. A host has several names: it is `in` when one of them is, `not in` when none is.
    pub fn fulfilled(&self, offer: &AgentOffer) -> bool {
        let values = values(&self.attribute, offer);
        match &self.test {
            ConstraintTest::Exists => !values.is_empty() || offer.attributes_without_text.contains(&self.attribute),
            ConstraintTest::NotExists => values.is_empty() && !offer.attributes_without_text.contains(&self.attribute),
            ConstraintTest::In(texts) => values.iter().any(|v| texts.iter().any(|t| t == v)),
            ConstraintTest::NotIn(texts) => !values.iter().any(|v| texts.iter().any(|t| t == v)),
        }
    }
}

/// `hostname` is the place's; everything else an attribute, or what the fault domain says when there is none of the name.
fn values<'a>(attribute: &str, offer: &'a AgentOffer) -> Vec<&'a str> {
    let place = &offer.place;
    if attribute == "hostname" {
        return place.hosts.iter().map(String::as_str).collect();
    }
    let domain = match attribute {
        "zone" => &place.zone,
        "region" => &place.region,
        "rack" => &place.rack,
        _ => &None,
    };
    offer.attributes.get(attribute).or(domain.as_ref()).map(|text| vec![text.as_str()]).unwrap_or_default()
}

impl std::fmt::Display for Constraint {
    /// As the job file spells it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Constraint { attribute, test } = self;
        match test {
            ConstraintTest::Exists => write!(f, "{attribute} exists"),
            ConstraintTest::NotExists => write!(f, "{attribute} not exists"),
            ConstraintTest::In(texts) if texts.len() == 1 => write!(f, "{attribute} = {}", texts[0]),
            ConstraintTest::In(texts) => write!(f, "{attribute} in [{}]", texts.join(", ")),
            ConstraintTest::NotIn(texts) if texts.len() == 1 => write!(f, "{attribute} != {}", texts[0]),
            ConstraintTest::NotIn(texts) => write!(f, "{attribute} not in [{}]", texts.join(", ")),
        }
    }
}
