//! Answers about a job that runs have the form that the API's document says. What strangers ask is in `tests/openapi.rs`.

use std::time::Duration;

use anyhow::{Result, ensure};
use millstream_e2e::{Accounts, Mesos, with};
use millstream_testbed::schemathesis::{Asked, compare};

use crate::run::{caught_up, produce_all};

#[test]
fn answers_about_a_running_job_are_as_the_document_says() -> Result<()> {
    with(Mesos::Local, async |servers| {
        let mut accounts = Accounts::prepare(servers, "described", 100).await?;
        let messages = accounts.messages(1_000);
        produce_all(servers, &accounts.name, messages).await?;
        let (name, text) = (accounts.name.clone(), accounts.job_file(servers, ""));
        servers.millstream.deploy(&name, &text).await?;
        caught_up(servers, &name).await?;
        let (api, job) = (servers.millstream.api().clone(), name.clone());
        let compared = tokio::task::spawn_blocking(move || {
            let checks = [
                "not_a_server_error",
                "status_code_conformance",
                "content_type_conformance",
                "response_headers_conformance",
                "response_schema_conformance",
            ];
            // It shall go on running; and there is no program to be fetched.
            let args = [
                "--mode=positive",
                "--exclude-method=DELETE",
                "--exclude-path=/api/v1/jobs/{name}/stop",
                "--exclude-path=/executor/{sha256}",
            ];
            let (within, job) = (Duration::from_secs(30), Some((job.as_str(), text.as_str())));
            let folder = tempfile::tempdir()?;
            compare(&api, folder.path(), &Asked { checks: &checks, within, examples: 10, job, args: &args })
        });
        compared.await??;
        let view = servers.millstream.api().job(&name).await?;
        ensure!(view["phase"] == "running" && view["generation"] == 1, "{view}");
        servers.stop(&name).await
    })
}
