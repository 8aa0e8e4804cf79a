//! docs/metrics.md says what the scheduler serves.

use millstream_daemon::metrics::CATALOGUE;

const PAGE: &str = include_str!("../../../docs/metrics.md");

#[test]
fn metrics_page_has_exactly_the_metrics_of_the_scheduler() {
    let section = PAGE.split("## ").find(|s| s.starts_with("Scheduler")).expect("a section on the scheduler");
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = CATALOGUE
        .iter()
        .map(|(name, kind, labels, help)| {
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
            format!("| `{name}` | {kind} | {labels} | {help} |")
        })
        .collect();
    assert_eq!(rows, expected);
}
