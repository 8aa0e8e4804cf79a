//! Aligned columns without lines, and numbers for people.

use millstream_daemon::api::plural;

/// Spaces between columns.
const GAP: usize = 2;

/// Rows under a header.
pub(crate) struct Table {
    header: Vec<&'static str>,
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns; those whose name begins with `>` hold numbers and stand on the right.
    pub(crate) fn new(columns: &[&'static str]) -> Self {
        let header = columns.iter().map(|c| c.trim_start_matches('>')).collect();
        Table { header, right: columns.iter().map(|c| c.starts_with('>')).collect(), rows: vec![] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let row: Vec<_> = cells.into_iter().collect();
        debug_assert_eq!(row.len(), self.header.len(), "a cell for each column");
        self.rows.push(row);
    }

    pub(crate) fn render(&self) -> String {
        let columns = self.header.len();
        let cells = |i: usize| self.rows.iter().filter_map(move |r| r.get(i));
        let widths: Vec<usize> = (0..columns)
            .map(|i| cells(i).map(|c| width(c)).chain([width(self.header[i])]).max().unwrap_or(0))
            .collect();
        let header: Vec<String> = self.header.iter().map(|h| (*h).to_owned()).collect();
        let mut out = String::new();
        for row in std::iter::once(&header).chain(&self.rows) {
            let mut line = String::new();
            for (i, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[i].saturating_sub(width(cell)));
                line.push_str(&if self.right[i] { format!("{pad}{cell}") } else { format!("{cell}{pad}") });
                line.push_str(&" ".repeat(GAP));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Stands for what is not known: never a made-up 0.
pub(crate) const UNKNOWN: &str = "-";

/// A number with its thousands apart, or a dash.
pub(crate) fn count(number: Option<impl ToString>) -> String {
    let Some(digits) = number.map(|n| n.to_string()) else { return UNKNOWN.to_owned() };
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |d| ("-", d));
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|c| std::str::from_utf8(c).unwrap_or_default()).collect();
    format!("{sign}{}", groups.join(","))
}

/// A length of time in its two largest units, or a dash.
pub(crate) fn duration(ms: Option<u64>) -> String {
    let Some(ms) = ms else { return UNKNOWN.to_owned() };
    let secs = ms / 1_000;
    match secs {
        0..10 => format!("{}.{} s", secs, ms % 1_000 / 100),
        10..120 => format!("{secs} s"),
        120..7_200 => format!("{} min", secs / 60),
        7_200..172_800 => format!("{} h {} min", secs / 3_600, secs % 3_600 / 60),
        _ => format!("{} d {} h", secs / 86_400, secs % 86_400 / 3_600),
    }
}

/// Partition numbers, neighbours joined: `0-3,7`.
pub(crate) fn partitions(numbers: &[i32]) -> String {
    let mut runs: Vec<(i32, i32)> = vec![];
    for &n in numbers {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == n => *end = n,
            _ => runs.push((n, n)),
        }
    }
    let text = |&(from, to): &(i32, i32)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    runs.iter().map(text).collect::<Vec<_>>().join(",")
}

/// The same in a sentence: `partitions 0-3,7`.
pub(crate) fn named_partitions(numbers: &[i32]) -> String {
    format!("{} {}", plural(numbers.len(), "partition"), partitions(numbers))
}

/// Partitions of which the same is to be said, so that it is said once; in the order of the first of each.
pub(crate) fn alike<T: PartialEq>(said: impl Iterator<Item = (T, i32)>) -> Vec<(T, Vec<i32>)> {
    let mut groups: Vec<(T, Vec<i32>)> = vec![];
    for (what, partition) in said {
        match groups.iter_mut().find(|(known, _)| *known == what) {
            Some((_, partitions)) => partitions.push(partition),
            None => groups.push((what, vec![partition])),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_clean() {
        let mut table = Table::new(&["NAME", ">LAG", "STATE"]);
        table.row(["flights".into(), "12".into(), "running".into()]);
        table.row(["a".into(), "1,234".into(), "".into()]);
        assert_eq!(table.render(), "NAME       LAG  STATE\nflights     12  running\na        1,234\n");
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(count(Some(336_776)), "336,776");
        assert_eq!(count(Some(-1_000)), "-1,000");
        assert_eq!(count(Some(7)), "7");
        assert_eq!(count(None::<u64>), "-");
        assert_eq!(duration(Some(1_250)), "1.2 s");
        assert_eq!(duration(Some(7_260_000)), "2 h 1 min");
        assert_eq!(duration(None), "-");
        assert_eq!(partitions(&[0, 1, 2, 7, 9, 10]), "0-2,7,9-10");
    }
}
