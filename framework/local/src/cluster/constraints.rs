//! `OfferConstraints`, ready to be asked. Source: `src/master/allocator/mesos/offer_constraints_filter.cpp` of 1.11.
//!
//! The regexes are those of the crate `regex` without Unicode: the same language as RE2 but for rare escapes (`\C`, `\Q`).

use std::collections::BTreeMap;

use millstream_mesos_types::{AttributeConstraint, OfferConstraints, Predicate, Pseudoattribute, Selector};
use regex::bytes::{Regex, RegexBuilder};

use super::model::Agent;

mod program_size;

/// Longest regex, as Mesos' `--offer_constraints_re2_max_mem`: one that takes more than this as text takes more compiled.
const MAX_REGEX_BYTES: usize = 4096;
/// Mesos' `--offer_constraints_re2_max_program_size`.
const MAX_PROGRAM_SIZE: usize = 100;

/// By role: groups of which one must hold, in which all tests must hold.
#[derive(Debug, Default)]
pub(super) struct Constraints(BTreeMap<String, Vec<Vec<(Selector, Test)>>>);

#[derive(Debug)]
enum Test {
    Exists,
    NotExists,
    Equals(String),
    NotEquals(String),
    Matches(Regex),
    NotMatches(Regex),
}

/// What a selector finds on an agent.
enum Found<'a> {
    Nothing,
    Text(&'a str),
    /// An attribute that is no TEXT.
    Other,
}

impl Constraints {
    /// Or why the call is refused.
    pub(super) fn compile(constraints: &OfferConstraints) -> Result<Self, String> {
        let mut compiled = BTreeMap::new();
        for (role, constraints) in &constraints.role_constraints {
            if constraints.groups.is_empty() {
                let message = "'OfferConstraints::role_constraints' has an empty 'RoleConstraints::groups' for role";
                return Err(format!("{message} {role}"));
            }
            let mut groups = vec![];
            for group in &constraints.groups {
                if group.attribute_constraints.is_empty() {
                    let message = "contains an empty RoleConstraints::Group";
                    return Err(format!("'OfferConstraints::RoleConstraints::groups' for role {role} {message}"));
                }
                let tests: Result<Vec<_>, String> = group.attribute_constraints.iter().map(test).collect();
                let invalid = |error| format!("A role {role} has an invalid 'AttributeConstraint': {error}");
                groups.push(tests.map_err(invalid)?);
            }
            compiled.insert(role.clone(), groups);
        }
        Ok(Self(compiled))
    }

    /// The agent is not to be offered in this role.
    pub(super) fn exclude(&self, role: &str, agent: &Agent) -> bool {
        let holds = |(selector, test): &(Selector, Test)| test.holds(&find(selector, agent));
        self.0.get(role).is_some_and(|groups| !groups.iter().any(|group| group.iter().all(holds)))
    }
}

impl Test {
    fn holds(&self, found: &Found) -> bool {
        match (self, found) {
            (Self::Exists, Found::Nothing) => false,
            (Self::NotExists, Found::Nothing) => true,
            (Self::Exists, _) => true,
            (Self::NotExists, _) => false,
            (Self::Equals(_) | Self::Matches(_), Found::Nothing) => false,
            (_, Found::Nothing | Found::Other) => true,
            (Self::Equals(value), Found::Text(text)) => value == text,
            (Self::NotEquals(value), Found::Text(text)) => value != text,
            (Self::Matches(regex), Found::Text(text)) => regex.is_match(text.as_bytes()),
            (Self::NotMatches(regex), Found::Text(text)) => !regex.is_match(text.as_bytes()),
        }
    }
}

fn find<'a>(selector: &Selector, agent: &'a Agent) -> Found<'a> {
    let domain = || agent.domain.as_ref().and_then(|domain| domain.fault_domain.as_ref());
    let text = |text: Option<&'a String>| text.map_or(Found::Nothing, |text| Found::Text(text));
    match selector {
        Selector::PseudoattributeType(Pseudoattribute::Hostname) => Found::Text(&agent.address),
        Selector::PseudoattributeType(Pseudoattribute::Region) => text(domain().map(|domain| &domain.region.name)),
        Selector::PseudoattributeType(Pseudoattribute::Zone) => text(domain().map(|domain| &domain.zone.name)),
        Selector::AttributeName(name) => match agent.attributes.iter().find(|attribute| attribute.name == *name) {
            None => Found::Nothing,
            Some(attribute) => attribute.text.as_ref().map_or(Found::Other, |text| Found::Text(&text.value)),
        },
    }
}

fn test(constraint: &AttributeConstraint) -> Result<(Selector, Test), String> {
    let test = match &constraint.predicate {
        Predicate::Exists {} => Test::Exists,
        Predicate::NotExists {} => Test::NotExists,
        Predicate::TextEquals { value } => Test::Equals(value.clone()),
        Predicate::TextNotEquals { value } => Test::NotEquals(value.clone()),
        Predicate::TextMatches { regex } => Test::Matches(compile_regex(regex)?),
        Predicate::TextNotMatches { regex } => Test::NotMatches(compile_regex(regex)?),
    };
    Ok((constraint.selector.clone(), test))
}

/// All of a text must match, as RE2's `FullMatch`.
fn compile_regex(pattern: &str) -> Result<Regex, String> {
    let failed = |error: &str| format!("Failed to construct regex from pattern '{pattern}': {error}");
    if pattern.len() > MAX_REGEX_BYTES {
        return Err(failed("pattern too large - compile failed"));
    }
    // By itself first: a parenthesis too many must not end the group around it.
    let build = |pattern: &str| RegexBuilder::new(pattern).unicode(false).build();
    build(pattern).map_err(|error| failed(&error.to_string()))?;
    let size = program_size::estimate(pattern);
    if size > MAX_PROGRAM_SIZE {
        let message = format!("is too complex: program size of {size} is larger than maximum of {MAX_PROGRAM_SIZE}");
        return Err(format!("Regex '{pattern}' {message} allowed"));
    }
    build(&format!(r"\A(?:{pattern})\z")).map_err(|error| failed(&error.to_string()))
}
