//! What is changed about a deployed job, for people: before it happens and after.

use similar::TextDiff;

use crate::api::ChangeView;

/// Unchanged lines shown around each change.
const CONTEXT_LINES: usize = 3;

/// The change from the deployed text of a job to that of a file; none when they are the same.
pub(crate) fn change(job: &str, deployed: &str, file_name: &str, text: &str) -> Option<ChangeView> {
    if deployed == text {
        return None;
    }
    let diff = TextDiff::from_lines(deployed, text);
    let header = (format!("{job} as deployed"), file_name);
    let diff = diff.unified_diff().context_radius(CONTEXT_LINES).header(&header.0, header.1).to_string();
    Some(ChangeView { diff })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_unified_diff_with_the_names_of_both_sides() {
        assert_eq!(change("flights", "a = 1\n", "jobs/flights.toml", "a = 1\n"), None);
        let found = change("flights", "a = 1\nb = 2\n", "jobs/flights.toml", "a = 1\nb = 3\n").expect("a change");
        let expected = "\
--- flights as deployed
+++ jobs/flights.toml
@@ -1,2 +1,2 @@
 a = 1
-b = 2
+b = 3
";
        assert_eq!(found.diff, expected);
    }
}
