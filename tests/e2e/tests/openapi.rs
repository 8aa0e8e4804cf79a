//! The API answers what its OpenAPI document says, whatever is asked: Schemathesis asks a real scheduler.

use std::time::Duration;

use anyhow::{Result, ensure};
use millstream_e2e::figure;
use millstream_testbed::{
    LocalOptions, Millstream,
    schemathesis::{Asked, compare},
};

/// Few enough for every run of the tests, and enough to reach each form of each operation.
const WITHIN: Duration = Duration::from_secs(30);
const EXAMPLES: u32 = 40;

const CHECKS: [&str; 6] = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_answers_what_its_document_says() -> Result<()> {
    let mut millstream = Millstream::local(LocalOptions { agents: 1, ..LocalOptions::default() }).await?;
    let api = millstream.api().clone();
    let said = tokio::task::spawn_blocking(move || {
        let folder = tempfile::tempdir()?;
        compare(
            &api,
            folder.path(),
            &Asked { checks: &CHECKS, within: WITHIN, examples: EXAMPLES, job: None, args: &[] },
        )
    });
    let said = said.await??;
    figure(said.lines().rev().find(|line| line.contains("passed") || line.contains("generated")).unwrap_or_default());
    ensure!(millstream.process().is_running(), "the scheduler has ended");
    Ok(())
}
