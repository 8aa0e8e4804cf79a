//! How much a function's result may take, known from its arguments before any of it is made.
//!
//! An estimate is never too low. Where a cheap one would be far too high (a replacement that seldom happens), what is
//! replaced is counted, once the cheap one is beyond the limit.

use datafusion_common::{DataFusionError, Result};
use datafusion_expr::ColumnarValue;
use regex::Regex;

use super::{
    arg::Arg,
    effort::{self, Effort},
};
use crate::record::{BadReason, Fault};

/// Largest text, bytes or list that one call makes of one record: Cassandra takes no larger row.
pub(crate) const MAX_RESULT_BYTES: usize = crate::rows::MAX_ROW_BYTES;

/// Most bytes that one evaluation of one expression makes over all its rows; more rows are evaluated in slices.
pub(crate) const MAX_SLICE_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of one character in UTF-8 at most.
const CHAR_BYTES: usize = 4;

/// Longest that one letter of a date format becomes, in bytes.
const DATE_PART_BYTES: usize = 40;

/// What a call costs at most in one row.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Cost {
    /// Of its result.
    pub(crate) bytes: usize,
    pub(crate) steps: u64,
}

/// Checks a call of `name` with `args` over `rows` rows before it is made.
pub(crate) fn check_call(name: &str, args: &[ColumnarValue], rows: usize) -> Result<()> {
    let (grows, effort) = (Growth::of(name), Effort::of(name));
    if grows == Growth::Fixed && effort == Effort::Linear {
        return Ok(());
    }
    let args = Arg::all(args, rows)?;
    let (mut total, mut steps) = (0usize, 0);
    for row in 0..rows {
        // DataFusion panics at it.
        if grows == Growth::Pad && args.get(1).is_some_and(|length| length.is_negative(row)) {
            let detail = format!("{name}() to a negative length");
            return Err(DataFusionError::External(Box::new(Fault::new(BadReason::Evaluation, detail))));
        }
        let bytes = grows.bytes(&args, row);
        if bytes > MAX_RESULT_BYTES {
            return Err(too_large(&format!("{name}()"), bytes, MAX_RESULT_BYTES));
        }
        steps = effort.steps(&args, row).max(steps);
        total = total.saturating_add(bytes).saturating_add(effort.regex_bytes(&args, row));
    }
    effort::spend(&format!("{name}()"), steps, rows)?;
    check_slice(total, rows)
}

/// What a call over constants alone costs.
pub(crate) fn cost_of_call(name: &str, args: &[ColumnarValue]) -> Result<Cost> {
    let (args, effort) = (Arg::all(args, 1)?, Effort::of(name));
    let steps = effort.steps(&args, 0).saturating_add(effort.compile_steps(&args));
    Ok(Cost { bytes: Growth::of(name).bytes(&args, 0), steps })
}

/// Checks `left || right` likewise.
pub(crate) fn check_concat(left: &ColumnarValue, right: &ColumnarValue, rows: usize) -> Result<()> {
    let args = [Arg::new(left, rows)?, Arg::new(right, rows)?];
    let mut total = 0usize;
    for row in 0..rows {
        let bytes = args[0].bytes(row).saturating_add(args[1].bytes(row));
        if bytes > MAX_RESULT_BYTES {
            return Err(too_large("||", bytes, MAX_RESULT_BYTES));
        }
        total = total.saturating_add(bytes);
    }
    check_slice(total, rows)
}

/// Checks `text LIKE pattern` and `text ~ pattern` likewise. A pattern of LIKE becomes a regex.
pub(crate) fn check_match(what: &str, text: &ColumnarValue, pattern: &ColumnarValue, rows: usize) -> Result<()> {
    let args = [Arg::new(text, rows)?, Arg::new(pattern, rows)?];
    let steps = (0..rows).map(|row| Effort::Regex.steps(&args, row)).max().unwrap_or(0);
    let bytes = (0..rows).map(|row| Effort::Regex.regex_bytes(&args, row)).fold(0, usize::saturating_add);
    effort::spend(what, steps, rows)?;
    check_slice(bytes, rows)
}

/// What an operator over constants alone costs.
pub(crate) fn cost_of_match(text: &ColumnarValue, pattern: &ColumnarValue) -> Result<Cost> {
    let args = [Arg::new(text, 1)?, Arg::new(pattern, 1)?];
    let steps = Effort::Regex.steps(&args, 0).saturating_add(Effort::Regex.compile_steps(&args));
    Ok(Cost { bytes: 0, steps })
}

/// Fails when a result of `bytes` over several rows should be made in slices. The caller halves the rows.
pub(crate) fn check_slice(bytes: usize, rows: usize) -> Result<()> {
    if rows > 1 && bytes > MAX_SLICE_BYTES {
        return Err(DataFusionError::ResourcesExhausted(format!("{bytes} bytes in one slice of {rows} rows")));
    }
    Ok(())
}

/// What all outputs of one record take may be no more than a row.
pub(crate) fn check_outputs(bytes: usize, rows: usize) -> Result<()> {
    if rows == 1 && bytes > MAX_RESULT_BYTES {
        return Err(too_large("the outputs of the record", bytes, MAX_RESULT_BYTES));
    }
    check_slice(bytes, rows)
}

fn too_large(what: &str, bytes: usize, limit: usize) -> DataFusionError {
    let detail = format!("{what} would make {bytes} bytes, more than {limit}");
    DataFusionError::External(Box::new(Fault::new(BadReason::ResultTooLarge, detail)))
}

/// How a function's result follows from its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Growth {
    /// It is small whatever they are, or no larger than one of them.
    Fixed,
    Repeat,
    Pad,
    Replace,
    RegexReplace,
    RegexMatch,
    Format,
    /// It is their sum, and the separators of `concat_ws`.
    Sum,
    /// At most this many times all of them.
    Times(usize),
}

impl Growth {
    /// Of the functions that are not named here none gives more than it is given.
    fn of(name: &str) -> Growth {
        match name {
            "repeat" => Growth::Repeat,
            "lpad" | "rpad" => Growth::Pad,
            "replace" => Growth::Replace,
            "regexp_replace" => Growth::RegexReplace,
            "regexp_match" => Growth::RegexMatch,
            "to_char" | "date_format" => Growth::Format,
            "concat" | "concat_ws" | "overlay" | "struct" | "named_struct" => Growth::Sum,
            "translate" => Growth::Times(4),
            "upper" | "lower" | "initcap" | "encode" => Growth::Times(3),
            _ => Growth::Fixed,
        }
    }

    /// Most bytes of the result in `row`, counted where the cheap estimate is beyond what may be.
    fn bytes(self, args: &[Arg], row: usize) -> usize {
        match self.most(args, row) {
            most if most > MAX_RESULT_BYTES => self.counted(args, row).unwrap_or(most),
            most => most,
        }
    }

    /// Most bytes of the result in `row`.
    fn most(self, args: &[Arg], row: usize) -> usize {
        let bytes = |index: usize| args.get(index).map_or(0, |arg| arg.bytes(row));
        let sum = || args.iter().map(|arg| arg.bytes(row)).fold(0, usize::saturating_add);
        match self {
            Growth::Fixed => 0,
            Growth::Repeat => bytes(0).saturating_mul(args.get(1).map_or(0, |arg| arg.count(row))),
            Growth::Pad => {
                let wide = args.get(2).and_then(|fill| fill.text(row)).is_some_and(|fill| !fill.is_ascii());
                let count = args.get(1).map_or(0, |arg| arg.count(row));
                bytes(0).saturating_add(count.saturating_mul(if wide { CHAR_BYTES } else { 1 }))
            }
            Growth::Replace => {
                // An empty text is found between all characters.
                let places = bytes(0).saturating_add(1).checked_div(bytes(1).max(1)).unwrap_or(0);
                bytes(0).saturating_add(places.saturating_mul(bytes(2)))
            }
            Growth::RegexReplace => {
                let groups = args.get(2).and_then(|with| with.text(row)).map_or(0, references);
                let once = bytes(2).saturating_add(groups.saturating_mul(bytes(0)));
                let everywhere = args.get(3).and_then(|flags| flags.text(row)).is_some_and(|flags| flags.contains('g'));
                if !everywhere {
                    return bytes(0).saturating_add(once);
                }
                // Matches do not overlap: what all of them hold together is the text itself.
                let plain = bytes(0).saturating_add(1).saturating_mul(bytes(2));
                bytes(0).saturating_add(plain).saturating_add(groups.saturating_mul(bytes(0)))
            }
            Growth::RegexMatch => {
                let groups =
                    args.get(1).and_then(|regex| regex.text(row)).map_or(0, |regex| regex.matches('(').count());
                bytes(0).saturating_mul(groups + 1)
            }
            Growth::Format => args.get(1).map_or(0, |format| format.bytes(row)).saturating_mul(DATE_PART_BYTES),
            Growth::Sum => {
                let separators = bytes(0).saturating_mul(args.len());
                sum().saturating_add(separators)
            }
            Growth::Times(times) => sum().saturating_mul(times),
        }
    }

    /// The same, counted. None where the cheap estimate is as good.
    fn counted(self, args: &[Arg], row: usize) -> Option<usize> {
        let text = |index: usize| args.get(index).and_then(|arg| arg.text(row));
        match self {
            Growth::Replace => {
                let (text, from, to) = (text(0)?, text(1)?, text(2)?);
                Some(text.len().saturating_add(text.matches(from).count().saturating_mul(to.len())))
            }
            Growth::RegexReplace => {
                let (text, regex, with) = (text(0)?, text(1)?, text(2)?);
                let found = Regex::new(regex).ok()?.find_iter(text).count();
                let kept = references(with).saturating_mul(text.len());
                Some(text.len().saturating_add(found.saturating_mul(with.len())).saturating_add(kept))
            }
            _ => None,
        }
    }
}

/// How many groups of a match a replacement may repeat.
fn references(replacement: &str) -> usize {
    replacement.matches(['\\', '$']).count()
}
