//! What to run.

pub(crate) const USAGE: &str = "usage: millstream-sim [--seeds N] [--from N] [--threads N] [--first]\n\
       millstream-sim --seed N [--trace]";

/// The command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// First seed.
    pub(crate) from: u64,
    /// How many.
    pub(crate) seeds: u64,
    pub(crate) threads: u64,
    /// End with the first violation.
    pub(crate) first: bool,
    /// Print all that happens.
    pub(crate) trace: bool,
}

pub(crate) fn read(words: impl IntoIterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments { from: 1, seeds: 1_000, threads: 2, first: false, trace: false };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let text = words.next().ok_or_else(|| format!("{word} needs a number"))?;
            text.parse::<u64>().map_err(|_| format!("{word} needs a number, not {text:?}"))
        };
        match word.as_str() {
            "--seed" => (arguments.from, arguments.seeds, arguments.threads) = (number()?, 1, 1),
            "--seeds" => arguments.seeds = number()?,
            "--from" => arguments.from = number()?,
            "--threads" => arguments.threads = number()?.max(1),
            "--first" => arguments.first = true,
            "--trace" => arguments.trace = true,
            _ => return Err(format!("{word} is not known")),
        }
    }
    if arguments.trace && arguments.seeds != 1 {
        return Err("--trace goes with --seed".into());
    }
    Ok(arguments)
}
