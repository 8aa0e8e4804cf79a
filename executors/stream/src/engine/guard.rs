//! Whatever one record does: a panic over a batch is traced to the records that cause it, which are bad, and the others go
//! their way.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use millstream_pipeline::{BadReason, Processed, Processor, Record};

/// A value that is certainly no JSON object: it stands in for a record that may not be touched again.
const NO_VALUE: &[u8] = b"\0";

/// A processor that may panic.
pub(super) struct Guarded {
    processor: Processor,
    /// After a panic what it left behind is not used again.
    make: Box<dyn Fn() -> Processor + Send>,
}

/// Time of the three steps: decode, SQL, encode.
pub(super) type Times = [Duration; 3];

impl Guarded {
    pub(super) fn new(make: impl Fn() -> Processor + Send + 'static) -> Self {
        Guarded { processor: make(), make: Box::new(make) }
    }

    /// Whether records need their headers.
    pub(super) fn uses_headers(&self) -> bool {
        self.processor.uses_headers()
    }

    /// All three steps over a batch, with the time each took.
    pub(super) fn process(&mut self, records: &[Record<'_>]) -> (Processed, Times) {
        if let Some(done) = self.attempt(records) {
            return done;
        }
        let culprits = culprits(records.len(), |range| self.attempt(&records[range]).is_some());
        let mut others = records.to_vec();
        for culprit in &culprits {
            let Record { partition, offset, timestamp_ms, .. } = records[*culprit];
            tracing::error!(partition, offset, "this record makes the pipeline panic; it is a bad record");
            others[*culprit] =
                Record { partition, offset, timestamp_ms, key: None, value: Some(NO_VALUE), headers: &[] };
        }
        let (mut processed, times) = self.attempt(&others).unwrap_or_default();
        for bad in processed.bad.iter_mut().filter(|bad| culprits.contains(&bad.index)) {
            (bad.reason, bad.detail) = (BadReason::Panic, "the pipeline panicked at it".to_owned());
        }
        (processed, times)
    }

    fn attempt(&mut self, records: &[Record<'_>]) -> Option<(Processed, Times)> {
        let processor = &mut self.processor;
        let steps = AssertUnwindSafe(|| {
            let begin = Instant::now();
            let decoded = processor.decode(records);
            let decode = begin.elapsed();
            let transformed = processor.transform(decoded);
            let sql = begin.elapsed() - decode;
            let processed = processor.encode(transformed);
            (processed, [decode, sql, begin.elapsed() - sql - decode])
        });
        let done = catch_unwind(steps).ok();
        if done.is_none() {
            self.processor = (self.make)();
        }
        done
    }
}

/// Which of `count` items fail by themselves. `attempt` says whether a range of them is well.
fn culprits(count: usize, mut attempt: impl FnMut(std::ops::Range<usize>) -> bool) -> Vec<usize> {
    let mut found = vec![];
    // Ranges that are known to fail, or not yet tried, the first on top.
    let whole = 0..count;
    let mut open = vec![whole];
    while let Some(range) = open.pop() {
        if range.is_empty() || attempt(range.clone()) {
            continue;
        }
        if range.len() == 1 {
            found.push(range.start);
            continue;
        }
        let middle = range.start + range.len() / 2;
        open.push(middle..range.end);
        open.push(range.start..middle);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_fail_are_found_in_order() {
        for wanted in [vec![], vec![0], vec![99], vec![3, 4, 50, 98], (0..100).collect()] {
            let mut attempts = 0;
            let found = culprits(100, |range| {
                attempts += 1;
                !wanted.iter().any(|culprit| range.contains(culprit))
            });
            assert_eq!(found, wanted);
            assert!(attempts <= 2 * 100 + 1, "{attempts}");
        }
        assert_eq!(culprits(0, |_| false), Vec::<usize>::new());
    }
}
