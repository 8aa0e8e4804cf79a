//! A job's constraints as Mesos' offer constraints: never stricter than placement's own test of an offer.
//!
//! Source: `src/master/allocator/mesos/offer_constraints_filter.cpp` of 1.11: `text_matches` asks for a match of the whole
//! text (`RE2::FullMatch`), every `text_` predicate holds for an attribute that is no TEXT, the negated ones also for a
//! missing one, and of several attributes of a name the first counts.

use std::net::IpAddr;

use millstream_mesos_types::{AttributeConstraint, Predicate, Pseudoattribute, Selector};
use millstream_spec::{Constraint, ConstraintTest};

/// Most constraints of one job the master is told: it asks each agent for each of them. Placement asks for the others.
const CONSTRAINTS_MAX: usize = 64;

/// Longest program of an expression, as counted here. The master refuses the whole call over 100 or 4 KiB of RE2's memory,
/// which is a program of about 250 (`DEFAULT_OFFER_CONSTRAINTS_RE2_*` in `src/master/constants.hpp`).
const REGEX_PROGRAM_MAX: usize = 90;

/// What RE2 means by its own.
const REGEX_SIGNS: &str = r"\.+*?()|[]{}^$";

/// Those of a job's constraints the master can test, in their order.
pub(super) fn of(constraints: &[Constraint]) -> Vec<AttributeConstraint> {
    let mut told: Vec<AttributeConstraint> = vec![];
    for constraint in constraints {
        let Some(selector) = selector(&constraint.attribute) else { continue };
        let by_name = selector == Selector::PseudoattributeType(Pseudoattribute::Hostname);
        let predicates = predicates(&constraint.test, by_name).into_iter();
        told.extend(predicates.map(|predicate| AttributeConstraint { selector: selector.clone(), predicate }));
    }
    told.truncate(CONSTRAINTS_MAX);
    told
}

/// None for `zone` and `region`: placement takes the attribute of that name, or else the fault domain. Mesos looks at one
/// of them, which would hide the agents that have only the other.
fn selector(attribute: &str) -> Option<Selector> {
    match attribute {
        "hostname" => Some(Selector::PseudoattributeType(Pseudoattribute::Hostname)),
        "zone" | "region" => None,
        name => Some(Selector::AttributeName(name.into())),
    }
}

fn predicates(test: &ConstraintTest, by_name: bool) -> Vec<Predicate> {
    match test {
        // Every agent has a name.
        ConstraintTest::Exists if by_name => vec![],
        ConstraintTest::Exists => vec![Predicate::Exists {}],
        ConstraintTest::NotExists => vec![Predicate::NotExists {}],
        // Placement knows a host by its address, too.
        ConstraintTest::In(texts) if by_name && texts.iter().any(|text| text.parse::<IpAddr>().is_ok()) => vec![],
        ConstraintTest::In(texts) => match texts.as_slice() {
            [text] => vec![Predicate::TextEquals { value: text.clone() }],
            texts => one_of(texts).map(|regex| Predicate::TextMatches { regex }).into_iter().collect(),
        },
        ConstraintTest::NotIn(texts) => {
            texts.iter().map(|value| Predicate::TextNotEquals { value: value.clone() }).collect()
        }
    }
}

/// An expression for one of the texts; none when RE2 might find it too large.
fn one_of(texts: &[String]) -> Option<String> {
    // One instruction for each byte, at most two for each alternative, and a few for begin and end.
    let program = texts.iter().map(|text| text.len() + 2).sum::<usize>() + 4;
    let plain = texts.iter().all(|text| !text.chars().any(char::is_control));
    (!texts.is_empty() && plain && program <= REGEX_PROGRAM_MAX)
        .then(|| texts.iter().map(|text| escaped(text)).collect::<Vec<_>>().join("|"))
}

fn escaped(text: &str) -> String {
    let mut regex = String::with_capacity(text.len());
    for sign in text.chars() {
        if REGEX_SIGNS.contains(sign) {
            regex.push('\\');
        }
        regex.push(sign);
    }
    regex
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(attribute: &str, test: ConstraintTest) -> Vec<Predicate> {
        of(&[Constraint { attribute: attribute.into(), test }]).into_iter().map(|told| told.predicate).collect()
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn each_test_becomes_predicates() {
        assert_eq!(told("ssd", ConstraintTest::Exists), [Predicate::Exists {}]);
        assert_eq!(told("ssd", ConstraintTest::NotExists), [Predicate::NotExists {}]);
        let one = told("rack", ConstraintTest::In(texts(&["r.1"])));
        assert_eq!(one, [Predicate::TextEquals { value: "r.1".into() }]);
        let several = told("rack", ConstraintTest::In(texts(&["r.1", "r-2", "(ü)"])));
        assert_eq!(several, [Predicate::TextMatches { regex: r"r\.1|r-2|\(ü\)".into() }]);
        let neither = told("hostname", ConstraintTest::NotIn(texts(&["h1", "h2"])));
        let not = |value: &str| Predicate::TextNotEquals { value: value.into() };
        assert_eq!(neither, [not("h1"), not("h2")]);
    }

    #[test]
    fn what_could_hide_a_good_agent_is_left_out() {
        assert_eq!(told("zone", ConstraintTest::In(texts(&["a"]))), []);
        assert_eq!(told("region", ConstraintTest::NotIn(texts(&["a"]))), []);
        assert_eq!(told("hostname", ConstraintTest::In(texts(&["10.0.0.1"]))), [], "known by its address");
        assert_eq!(told("hostname", ConstraintTest::In(texts(&["h1", "::1"]))), []);
    }

    #[test]
    fn an_expression_stays_far_from_the_masters_limit() {
        let hosts = |count: usize| (0..count).map(|i| format!("node-{i:02}")).collect::<Vec<_>>();
        // A program of 100 at most: 9 names of 7 bytes and what joins them.
        assert!(one_of(&hosts(9)).is_some_and(|regex| regex.len() < 90));
        assert_eq!(one_of(&hosts(10)), None);
        assert_eq!(one_of(&texts(&["a\nb", "c"])), None);
    }

    #[test]
    fn a_long_list_is_cut() {
        let many = (0..100).map(|i| format!("bad-{i}")).collect();
        assert_eq!(told("hostname", ConstraintTest::NotIn(many)).len(), CONSTRAINTS_MAX);
    }
}
