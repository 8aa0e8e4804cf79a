//! Tests on an agent.

use crate::{AgentOffer, Constraint, ConstraintTest};

/// What Mesos keeps of a SCALAR: three decimals. Numbers that agree in them are the same.
const SCALAR_STEPS: f64 = 1000.0;

impl Constraint {
    /// Whether the agent fulfils it. A host has several names: it is `in` when one of them is, `not in` when none is. Of
    /// an attribute whose value cannot be tested (RANGES), neither holds: a task is never placed on a guess.
    pub fn fulfilled(&self, offer: &AgentOffer) -> bool {
        let values = values(&self.attribute, offer);
        let untestable = values.is_empty() && offer.attributes_without_text.contains(&self.attribute);
        let one_of = |texts: &[String]| values.iter().any(|value| texts.iter().any(|text| value.is(text)));
        match &self.test {
            ConstraintTest::Exists => !values.is_empty() || untestable,
            ConstraintTest::NotExists => values.is_empty() && !untestable,
            ConstraintTest::In(texts) => one_of(texts),
            ConstraintTest::NotIn(texts) => !untestable && !one_of(texts),
        }
    }
}

/// A value of an agent.
enum Value<'a> {
    Text(&'a str),
    Number(f64),
}

impl Value<'_> {
    /// Whether a job file means it by `text`: a number may be spelt in several ways (`101`, `101.0`, `1.01e2`).
    fn is(&self, text: &str) -> bool {
        match self {
            Value::Text(value) => *value == text,
            Value::Number(value) => {
                let same = |meant: f64| (meant * SCALAR_STEPS).round() == (value * SCALAR_STEPS).round();
                text.parse().is_ok_and(same)
            }
        }
    }
}

/// `hostname` is the place's; everything else an attribute, or what the fault domain says when there is none of the name.
fn values<'a>(attribute: &str, offer: &'a AgentOffer) -> Vec<Value<'a>> {
    let place = &offer.place;
    if attribute == "hostname" {
        return place.hosts.iter().map(|host| Value::Text(host)).collect();
    }
    let domain = match attribute {
        "zone" => &place.zone,
        "region" => &place.region,
        "rack" => &place.rack,
        _ => &None,
    };
    if let Some(number) = offer.numbers.get(attribute) {
        return vec![Value::Number(*number)];
    }
    offer.attributes.get(attribute).or(domain.as_ref()).map(|text| Value::Text(text)).into_iter().collect()
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
