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
pub(super) struct Guarded<P = Processor> {
    processor: P,
    /// After a panic what it left behind is not used again.
    make: Box<dyn Fn() -> P + Send>,
}

/// What is guarded.
pub(super) trait Steps {
    /// All steps over a batch, with the time each took; none when they make more than `bytes_max` bytes.
    fn steps(&mut self, records: &[Record<'_>], bytes_max: usize) -> (Option<Processed>, Times);
}

impl Steps for Processor {
    fn steps(&mut self, records: &[Record<'_>], bytes_max: usize) -> (Option<Processed>, Times) {
        let begin = Instant::now();
        let decoded = self.decode(records);
        let decode = begin.elapsed();
        let transformed = self.transform(decoded, bytes_max);
        let sql = begin.elapsed() - decode;
        let processed = (!transformed.is_cut()).then(|| self.encode(transformed));
        (processed, [decode, sql, begin.elapsed() - sql - decode])
    }
}

/// Time of the three steps: decode, SQL, encode.
pub(super) type Times = [Duration; 3];

impl Guarded {
    /// Whether records need their headers.
    pub(super) fn uses_headers(&self) -> bool {
        self.processor.uses_headers()
    }
}

impl<P: Steps> Guarded<P> {
    pub(super) fn new(make: impl Fn() -> P + Send + 'static) -> Self {
        Guarded { processor: make(), make: Box::new(make) }
    }

    /// All three steps over the first records of a batch, as many as make at most `bytes_max` bytes, and one at least. How
    /// many these are, and the time each step took.
    pub(super) fn process(&mut self, records: &[Record<'_>], bytes_max: usize) -> (Processed, usize, Times) {
        let mut count = records.len();
        loop {
            let (processed, times) = self.whole(&records[..count], bytes_max);
            match processed {
                Some(processed) => return (processed, count, times),
                None => count = count.div_ceil(2),
            }
        }
    }

    /// None when it makes more than `bytes_max` bytes.
    fn whole(&mut self, records: &[Record<'_>], bytes_max: usize) -> (Option<Processed>, Times) {
        if let Some(done) = self.attempt(records, bytes_max) {
            return done;
        }
        let culprits = culprits(records.len(), |range| self.attempt(&records[range], bytes_max).is_some());
        let mut others = records.to_vec();
        for culprit in &culprits {
            let Record { partition, offset, timestamp_ms, .. } = records[*culprit];
            tracing::error!(partition, offset, "this record makes the pipeline panic; it is a bad record");
            others[*culprit] =
                Record { partition, offset, timestamp_ms, key: None, value: Some(NO_VALUE), headers: &[] };
        }
        let (mut processed, times) = self.attempt(&others, bytes_max).unwrap_or_default();
        for bad in
            processed.iter_mut().flat_map(|processed| &mut processed.bad).filter(|bad| culprits.contains(&bad.index))
        {
            (bad.reason, bad.detail) = (BadReason::Panic, "the pipeline panicked at it".to_owned());
        }
        (processed, times)
    }

    /// None when it panics.
    fn attempt(&mut self, records: &[Record<'_>], bytes_max: usize) -> Option<(Option<Processed>, Times)> {
        let processor = &mut self.processor;
        let steps = AssertUnwindSafe(|| processor.steps(records, bytes_max));
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
    use millstream_pipeline::BadRecord;

    use super::*;

    /// Panics at some records, in some step, and remembers that it is broken; makes as many bytes as each record has.
    #[derive(Default)]
    struct Fragile {
        is_broken: bool,
    }

    impl Steps for Fragile {
        fn steps(&mut self, records: &[Record<'_>], bytes_max: usize) -> (Option<Processed>, Times) {
            assert!(!self.is_broken, "what a panic left behind is used again");
            let bytes: usize = records.iter().map(|record| record.value.map_or(0, <[u8]>::len)).sum();
            for step in [&b"decode"[..], b"sql", b"encode"] {
                if records.iter().any(|record| record.value == Some(step)) {
                    self.is_broken = true;
                    panic!("thrown by a test");
                }
            }
            let is_bad = |record: &&Record<'_>| record.value == Some(NO_VALUE);
            let bad = records.iter().filter(is_bad).map(|record| BadRecord {
                index: records.iter().position(|other| other.offset == record.offset).unwrap_or_default(),
                reason: BadReason::InvalidJson,
                detail: String::new(),
            });
            let processed = Processed { bad: bad.collect(), filtered: records.len(), ..Processed::default() };
            ((records.len() == 1 || bytes <= bytes_max).then_some(processed), Times::default())
        }
    }

    fn record(offset: i64, value: &'static [u8]) -> Record<'static> {
        Record { partition: 0, offset, timestamp_ms: None, key: None, value: Some(value), headers: &[] }
    }

    #[test]
    fn who_panics_in_any_step_is_bad_and_the_others_are_not() {
        let values = [&b"a"[..], b"decode", b"b", b"sql", b"sql", b"c", b"encode"];
        let records: Vec<_> = values.into_iter().enumerate().map(|(at, value)| record(at as i64, value)).collect();
        let (processed, count, _) = Guarded::new(Fragile::default).process(&records, usize::MAX);
        let bad: Vec<_> = processed.bad.iter().map(|bad| (bad.index, bad.reason)).collect();
        assert_eq!(count, 7);
        assert_eq!(bad, [1, 3, 4, 6].map(|index| (index, BadReason::Panic)));
    }

    #[test]
    fn as_many_records_as_make_few_bytes() {
        let records: Vec<_> = (0..100).map(|at| record(at, b"0123456789")).collect();
        let count = |bytes_max| Guarded::new(Fragile::default).process(&records, bytes_max).1;
        assert_eq!((count(1_000), count(999), count(100), count(1)), (100, 50, 7, 1));
    }

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
