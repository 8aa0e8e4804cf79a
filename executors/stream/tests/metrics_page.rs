//! docs/metrics.md says what executors serve.

use millstream_stream::metrics::CATALOGUE;

const PAGE: &str = include_str!("../../../docs/metrics.md");

#[test]
fn metrics_page_has_exactly_the_metrics_of_executors() {
    let section = PAGE.split("## ").find(|s| s.starts_with("Executor")).expect("a section on executors");
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = CATALOGUE
        .iter()
        .map(|entry| {
            let labels: Vec<String> = entry.labels.iter().map(|label| format!("`{label}`")).collect();
            let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
            format!("| `{}` | {} | {labels} | {} |", entry.name, entry.kind, entry.help)
        })
        .collect();
    assert_eq!(rows, expected);
}
