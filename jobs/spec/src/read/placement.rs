//! `[placement]`

use super::{
    entry::{Entry, Section},
    report::Report,
};
use crate::{Constraint, Diagnostic, Placement, Tier, constraint, units};

/// Longest wait for locality: a day, since a job that waits longer looks broken.
const MAX_WAIT_MS: u64 = 24 * 3_600_000;

/// Most constraints: each is tested on every offer, and Mesos bounds their size.
const MAX_CONSTRAINTS: usize = 64;

const TIERS: [(&str, Tier); 5] =
    [("host", Tier::Host), ("rack", Tier::Rack), ("zone", Tier::Zone), ("region", Tier::Region), ("any", Tier::Any)];

pub(super) fn read(section: &Section<'_>, r: &mut Report<'_>) -> Option<Placement> {
    section.check_keys(r);
    let default = Placement::default();
    let goal = section.optional("goal").map_or(Some(default.goal), |e| e.choice(r, &TIERS, None));
    let max_wait_ms = section.optional("max_wait").map_or(Some(default.max_wait_ms), |e| max_wait_ms(&e, r));
    let per_host = section.optional("max_share_per_host").map_or(Some(default.max_share_per_host), |e| share(&e, r));
    let per_rack = section.optional("max_share_per_rack").map_or(Some(default.max_share_per_rack), |e| share(&e, r));
    let constraints = section.optional("constraints").map_or(Some(vec![]), |e| constraints(&e, r));
    if let (Some(Tier::Any), Some(entry)) = (goal, section.optional("max_wait")) {
        r.push(
            Diagnostic::warning(entry.key.clone(), "`max_wait` has no effect with `goal = \"any\"`")
                .help("leave one of them out"),
        );
    }
    Some(Placement {
        goal: goal?,
        max_wait_ms: max_wait_ms?,
        max_share_per_host: per_host?,
        max_share_per_rack: per_rack?,
        constraints: constraints?,
    })
}

fn max_wait_ms(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<u64> {
    let text = match entry.value() {
        toml::de::DeValue::Integer(i) => {
            return entry.wrong_type(r, "a duration with its unit", &format!("write \"{}s\" for seconds", i.as_str()));
        }
        _ => entry.string(r)?,
    };
    match units::parse_duration_ms(text.value) {
        Ok(ms @ ..=MAX_WAIT_MS) => Some(ms),
        Ok(_) => {
            r.push(
                Diagnostic::error(text.span, "`placement.max_wait` is longer than a day")
                    .help("a stream that waits does not run: a few seconds are usual, as in \"5s\""),
            );
            None
        }
        Err(e) => {
            r.push(
                Diagnostic::error(text.part(r, e.at), e.message)
                    .help("write a duration with its unit, as in \"5s\" or \"1m 30s\""),
            );
            None
        }
    }
}

fn share(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<f64> {
    let share = entry.number(r)?;
    if share > 0.0 && share <= 1.0 {
        return Some(share);
    }
    let error = Diagnostic::error(entry.span(), "a share is above 0 and at most 1");
    let error = if share > 1.0 && share <= 100.0 {
        error.help(format!("for {share} % write {}", share / 100.0))
    } else {
        error
    };
    r.push(error.help("1.0 means no cap"));
    None
}

fn constraints(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<Vec<Constraint>> {
    let items = entry.array(r, "[\"rack in [r1, r2]\"]")?;
    if items.len() > MAX_CONSTRAINTS {
        r.push(
            Diagnostic::error(entry.span(), format!("there are more than {MAX_CONSTRAINTS} constraints"))
                .help("join tests of one attribute: `rack in [r1, r2]`"),
        );
        return None;
    }
    let mut constraints: Vec<Constraint> = vec![];
    for item in &items {
        let Some(text) = item.string(r) else { continue };
        match constraint::parse(text.value) {
            Ok(again) if constraints.contains(&again) => {
                r.push(Diagnostic::error(text.span, "this constraint is there twice").help("remove one of them"))
            }
            Ok(constraint) => constraints.push(constraint),
            Err(e) => r.push(
                Diagnostic::error(text.part(r, e.at), e.message).help(format!("the forms are {}", constraint::FORMS)),
            ),
        }
    }
    (constraints.len() == items.len()).then_some(constraints)
}
