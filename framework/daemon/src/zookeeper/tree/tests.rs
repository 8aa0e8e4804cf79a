use super::*;

/// ZooKeeper's default limit of a request.
const JUTE_MAXBUFFER: usize = 1 << 20;

/// The tree as ZooKeeper would hold it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Tree(BTreeMap<String, Vec<u8>>);

impl Tree {
    fn run(&mut self, transaction: &Transaction) {
        let bytes: usize = transaction.iter().map(Op::bytes).sum();
        assert!(bytes < JUTE_MAXBUFFER - (64 << 10), "{bytes} bytes in one transaction");
        for op in transaction {
            match op {
                Op::Put { node, data } => drop(self.0.insert(node.clone(), data.clone())),
                Op::Delete { node } => drop(self.0.remove(node)),
            }
        }
    }

    fn nodes(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }

    fn below(&self, part: &str) -> BTreeMap<String, Vec<u8>> {
        self.0.iter().filter(|(node, _)| node.starts_with(part)).map(|(n, d)| (n.clone(), d.clone())).collect()
    }

    fn apply(&mut self, changes: &[RecordChange]) {
        for transaction in transactions(changes, &self.nodes()) {
            self.run(&transaction);
        }
    }

    /// What a new leader does first.
    fn recover(&mut self) {
        for transaction in recovery(&self.below(JOURNAL)).unwrap() {
            self.run(&transaction);
        }
        assert_eq!(self.below(JOURNAL), BTreeMap::new(), "nothing is left in the journal");
    }

    fn records(&self) -> BTreeMap<String, Value> {
        records(self.below(RECORDS)).unwrap()
    }
}

fn put(key: &str, value: impl Into<Value>) -> RecordChange {
    RecordChange { key: key.into(), value: Some(value.into()) }
}

fn delete(key: &str) -> RecordChange {
    RecordChange { key: key.into(), value: None }
}

fn text(bytes: usize) -> String {
    "é".repeat(bytes / 2)
}

#[test]
fn every_key_is_a_name_of_one_node_and_comes_back() {
    for key in
        ["framework", "slot/flights/3", "task/flights.0.17", "job/a~1", ".", "..", "executor/ü%2F \u{7}", "a~001"]
    {
        let name = escape(key);
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.%".contains(&b)), "{key}: {name}");
        assert!(!name.starts_with('.'), "{name}");
        assert_eq!(unescape(&name).as_deref(), Some(key));
    }
    for name in ["%", "%2", "%zz", "%FF"] {
        assert_eq!(unescape(name), None, "{name}");
    }
}

#[test]
fn a_batch_that_fits_is_one_transaction() {
    let mut tree = Tree::default();
    let changes: Vec<_> = (0..200).map(|i| put(&format!("task/flights.{i}.{i}"), text(1_000))).collect();
    assert_eq!(transactions(&changes, &tree.nodes()).len(), 1);
    tree.apply(&changes);
    tree.apply(&[delete("task/flights.0.0"), delete("never"), put("counter", 7)]);
    assert_eq!(tree.records().len(), 200);
    assert_eq!(tree.records()["counter"], Value::from(7));
    assert_eq!(transactions(&[], &tree.nodes()), Vec::<Transaction>::new());
}

#[test]
fn a_record_larger_than_a_node_has_parts_and_loses_them_when_it_shrinks() {
    let mut tree = Tree::default();
    let large = text(3 * NODE_BYTES_MAX);
    tree.apply(&[put("job/large", large.clone()), put("job/large-too", 1)]);
    assert_eq!(tree.records()["job/large"], Value::from(large));
    assert_eq!(tree.nodes().len(), 5);
    tree.apply(&[put("job/large", "small")]);
    assert_eq!(tree.nodes().len(), 2);
    tree.apply(&[put("job/large", text(2 * NODE_BYTES_MAX))]);
    tree.apply(&[delete("job/large")]);
    assert_eq!(tree.records(), BTreeMap::from([("job/large-too".to_owned(), Value::from(1))]));
}

#[test]
fn a_large_batch_is_there_whole_or_not_at_all_wherever_it_breaks_off_and_recovery_breaks_off() {
    let mut before = Tree::default();
    before.apply(&[put("counter", 1), put("task/old", text(3_000)), put("job/shrinks", text(2 * NODE_BYTES_MAX))]);
    before.recover();
    let mut changes: Vec<_> = (0..200).map(|i| put(&format!("executor/flights.g1.{i}"), text(9_000))).collect();
    changes.extend([put("counter", 2), delete("task/old"), put("job/shrinks", 3)]);
    let all = transactions(&changes, &before.nodes());
    assert!(all.len() > 6, "{} transactions", all.len());
    let mut after = before.clone();
    after.apply(&changes);
    assert_eq!(after.below(JOURNAL), BTreeMap::new());
    let (mut forgotten, mut finished) = (0, 0);
    for done in 0..=all.len() {
        let mut broken = before.clone();
        all[..done].iter().for_each(|transaction| broken.run(transaction));
        let recovering = recovery(&broken.below(JOURNAL)).unwrap();
        for recovered in 0..=recovering.len() {
            let mut tree = broken.clone();
            recovering[..recovered].iter().for_each(|transaction| tree.run(transaction));
            tree.recover();
            match tree.records() {
                records if records == before.records() => forgotten += 1,
                records => {
                    assert_eq!(records, after.records(), "broken off after {done} and {recovered}");
                    finished += 1;
                }
            }
            // What was not answered is applied again.
            tree.apply(&changes);
            assert_eq!(tree, after);
        }
    }
    assert!(forgotten > 0 && finished > 0);
}

#[test]
fn what_is_not_whole_is_said_and_not_guessed() {
    let mut tree = Tree::default();
    tree.apply(&[put("job/large", text(3 * NODE_BYTES_MAX))]);
    tree.0.remove("records/job%2Flarge~002");
    assert!(matches!(records(tree.below(RECORDS)), Err(StoreError::Torn { node }) if node == "records/job%2Flarge"));
    let piece = encode(&[Op::Put { node: "records/a".into(), data: b"1".to_vec() }]);
    let journal = |data: &[u8]| BTreeMap::from([(journal_node(0), data.to_vec()), (COMMIT.to_owned(), vec![])]);
    assert!(recovery(&journal(&piece)).is_ok());
    assert!(matches!(recovery(&journal(&piece[..piece.len() - 1])), Err(StoreError::Torn { .. })));
    let damaged = BTreeMap::from([("records/a".to_owned(), b"{".to_vec())]);
    assert!(matches!(records(damaged), Err(StoreError::Damaged { key, .. }) if key == "a"));
}

#[test]
fn a_replacement_leaves_nothing_of_what_was_there_and_breaks_off_like_any_batch() {
    let mut before = Tree::default();
    before.apply(&[put("counter", 1), put("job/large", text(3 * NODE_BYTES_MAX)), put("task/old", 2)]);
    // Nobody's record: it has no key.
    before.0.insert("records/no%key".into(), b"x".to_vec());
    let next: Records = (0..100)
        .map(|i| (format!("task/{i}"), Value::from(text(9_000))))
        .chain([("counter".into(), 3.into())])
        .collect();
    let all = replacement(&next, &before.nodes());
    for done in 0..=all.len() {
        let mut tree = before.clone();
        all[..done].iter().for_each(|transaction| tree.run(transaction));
        tree.recover();
        assert!(tree.below(RECORDS) == before.below(RECORDS) || tree.records() == next, "broken off after {done}");
        for transaction in replacement(&next, &tree.nodes()) {
            tree.run(&transaction);
        }
        assert_eq!((tree.records(), tree.below(JOURNAL)), (next.clone(), BTreeMap::new()));
    }
    for transaction in replacement(&Records::new(), &before.nodes()) {
        before.run(&transaction);
    }
    assert_eq!(before, Tree::default());
}

#[test]
fn a_journal_that_cannot_be_read_is_given_up_with_a_mark_beside_what_it_left_half_done() {
    let mut tree = Tree::default();
    tree.apply(&[put("counter", 1)]);
    tree.0.insert(journal_node(0), b"+torn".to_vec());
    tree.0.insert(COMMIT.into(), b"1".to_vec());
    tree.run(&given_up(&put("unfinished", 1), &tree.nodes()));
    tree.recover();
    assert_eq!(tree.records().keys().collect::<Vec<_>>(), ["counter", "unfinished"]);
}
