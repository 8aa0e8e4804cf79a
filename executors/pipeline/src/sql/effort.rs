//! How many steps a call takes, known from its arguments before it is made: most functions read each argument once, some
//! compare each character of one text with each of another.
//!
//! An estimate is of the worst case. A step is about a nanosecond.

use std::cell::Cell;

use datafusion_common::{DataFusionError, Result};
use regex_syntax::hir::{Class, Hir, HirKind};

use super::arg::Arg;
use crate::record::{BadReason, Fault};

/// Most steps for one record, over all that the SQL computes of it: a few seconds.
pub(crate) const MAX_STEPS: u64 = 4 * 1024 * 1024 * 1024;

/// Steps for two characters of an edit distance. Two texts of 8 KiB are as long as they may be.
const EDIT_STEPS: u64 = 64;

/// Steps for a character and a character to trim.
const TRIM_STEPS: u64 = 4;

/// Steps for a character and a place in a regex: it may be at all its places at once.
const REGEX_STEPS: u64 = 4;

/// Places of a class of Unicode like `\w`, and how many ranges make a class one: it reads a character by many small steps.
const UNICODE_PLACES: u64 = 12;
const UNICODE_RANGES: usize = 16;

/// Memory of a place in a compiled regex, at most.
const REGEX_PLACE_BYTES: usize = 4 * 1024;

/// Memory of a compiled regex at most: the `regex` crate gives up at it.
const MAX_REGEX_BYTES: usize = 10 * 1024 * 1024;

thread_local! {
    /// What the record in hand may still take. An evaluation stays on its thread, and DataFusion hands nothing down to it.
    static LEFT: Cell<u64> = const { Cell::new(MAX_STEPS) };
}

/// How a function's steps follow from its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// It reads each argument once, or a few times.
    Linear,
    Edits,
    /// A needle that differs from row to row is compared at each place.
    Search,
    Trim,
    /// The second argument is a regex.
    Regex,
}

impl Effort {
    pub(crate) fn of(name: &str) -> Effort {
        match name {
            "levenshtein" => Effort::Edits,
            "strpos" => Effort::Search,
            "btrim" | "ltrim" | "rtrim" => Effort::Trim,
            "regexp_count" | "regexp_instr" | "regexp_like" | "regexp_match" | "regexp_replace" => Effort::Regex,
            _ => Effort::Linear,
        }
    }

    /// Most steps in `row`.
    pub(crate) fn steps(self, args: &[Arg], row: usize) -> u64 {
        let bytes = |index: usize| args.get(index).map_or(0, |arg: &Arg| arg.bytes(row) as u64);
        let product = bytes(0).saturating_mul(bytes(1));
        match self {
            Effort::Linear => 0,
            Effort::Edits => product.saturating_mul(EDIT_STEPS),
            Effort::Search if args.get(1).is_some_and(Arg::is_scalar) && !args[0].is_scalar() => 0,
            Effort::Search => product,
            Effort::Trim => product.saturating_mul(TRIM_STEPS),
            Effort::Regex => {
                let places = args.get(1).and_then(|regex| regex.text(row)).map_or(0, places);
                bytes(0).saturating_mul(places).saturating_mul(REGEX_STEPS)
            }
        }
    }

    /// Memory of the regex that `row` alone has.
    pub(crate) fn regex_bytes(self, args: &[Arg], row: usize) -> usize {
        let Some(regex) = args.get(1).filter(|regex| self == Effort::Regex && !regex.is_scalar()) else { return 0 };
        regex.text(row).map_or(0, |regex| compiled_bytes(places(regex)))
    }

    /// Steps to make the regex of a constant.
    pub(crate) fn compile_steps(self, args: &[Arg]) -> u64 {
        let regex = args.get(1).filter(|_| self == Effort::Regex).and_then(|regex| regex.text(0));
        regex.map_or(0, |regex| compiled_bytes(places(regex)) as u64)
    }
}

/// A record begins.
pub(crate) fn begin() {
    LEFT.set(MAX_STEPS);
}

/// Takes the steps of one call, the most that a row has, from what a record may take. With several `rows` the caller
/// halves them, until the one that takes too much stands alone.
pub(crate) fn spend(what: &str, steps: u64, rows: usize) -> Result<()> {
    let Some(left) = LEFT.get().checked_sub(steps) else {
        let detail = format!("{what} would take the record to more than {MAX_STEPS} steps");
        return Err(match rows {
            ..=1 => DataFusionError::External(Box::new(Fault::new(BadReason::TooManySteps, detail))),
            _ => DataFusionError::ResourcesExhausted(detail),
        });
    };
    LEFT.set(left);
    Ok(())
}

fn compiled_bytes(places: u64) -> usize {
    usize::try_from(places).unwrap_or(usize::MAX).saturating_mul(REGEX_PLACE_BYTES).min(MAX_REGEX_BYTES)
}

/// Places in a regex, counted repetitions written out. None in one that is no regex: whoever compiles it will say so.
fn places(regex: &str) -> u64 {
    regex_syntax::parse(regex).map_or(0, |hir| places_of(&hir))
}

/// As deep as the parser of regexes allows.
fn places_of(hir: &Hir) -> u64 {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(Class::Unicode(class)) if class.ranges().len() > UNICODE_RANGES => UNICODE_PLACES,
        HirKind::Class(_) => 1,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            places_of(&repetition.sub).saturating_mul(u64::from(times))
        }
        HirKind::Capture(capture) => places_of(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(places_of).fold(0, u64::saturating_add)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_count_as_often_as_they_may_repeat() {
        assert_eq!(places(r"^[0-9]{4}-[0-9]{2}$"), 7);
        assert_eq!(places(r"\w{2}"), 2 * UNICODE_PLACES);
        assert_eq!(places("((a{100}){100}){100}"), 1_000_000);
        assert_eq!(places("(a|bc)*"), 3);
        assert_eq!(places("("), 0);
    }
}
