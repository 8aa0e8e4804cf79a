//! docs/troubleshooting.md explains texts that the programs really say.

use std::{fs, path::Path};

const PAGE: &str = include_str!("../../../docs/troubleshooting.md");

/// Parts of a text that are shorter say nothing.
const PART_MIN: usize = 3;

/// All of the programs' own code, without tests; texts over several lines are joined as the compiler joins them.
fn code() -> String {
    fn read(folder: &Path, code: &mut String) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !["tests", "target", "local"].contains(&name) {
                read(&path, code);
            } else if name.ends_with(".rs") && !name.contains("tests") {
                let text = fs::read_to_string(&path).expect("a source file");
                code.push_str(text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut code = String::new();
    for folder in ["executors", "framework", "jobs"] {
        read(&root.join(folder), &mut code);
    }
    joined(&code)
}

fn joined(code: &str) -> String {
    let mut parts = code.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |joined, part| joined + part.trim_start())
}

/// Cells of each row of each table.
fn rows() -> Vec<Vec<String>> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn every_text_of_the_page_is_said_by_the_code() {
    let (code, rows) = (code(), rows());
    assert!(rows.len() > 50, "{} rows", rows.len());
    let mut unsaid = vec![];
    for row in rows {
        assert!(row.len() == 3 && row.iter().all(|cell| !cell.is_empty()), "a text, a meaning, a remedy: {row:?}");
        let text = row[0].trim_matches('`');
        let parts =
            text.split('…').map(|part| part.trim_matches([' ', ':', ';', '('])).filter(|part| part.len() >= PART_MIN);
        for part in parts {
            // The names of enums are made lower case by serde.
            let said =
                code.contains(part) || code.contains(&format!("    {}{},\n", part[..1].to_uppercase(), &part[1..]));
            if !said {
                unsaid.push(format!("{part:?} of {text:?}"));
            }
        }
    }
    assert!(unsaid.is_empty(), "nothing in the code says {unsaid:#?}");
}

#[test]
fn every_cause_of_an_end_is_on_the_page() {
    let effects = include_str!("../../scheduler/src/effects.rs");
    let labels = effects.lines().filter_map(|line| line.trim().strip_prefix("EndCause::")?.split(" => \"").nth(1));
    let labels: Vec<&str> = labels.filter_map(|rest| rest.split('"').next()).collect();
    assert!(labels.len() > 10, "{labels:?}");
    for label in labels {
        assert!(PAGE.contains(&format!("| `{label}` | ")), "{label} is not explained");
    }
}
