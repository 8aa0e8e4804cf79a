//! A master that lets frameworks in only with a principal and its secret, behind a proxy that keeps them from others' eyes.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use millstream_e2e::{Accounts, Servers, Shape, alone};
use millstream_testbed::{MesosOptions, Millstream, SchedulerOptions, eventually, http};
use serde_json::{Value, json};

use crate::{
    tls::TlsProxy,
    volumes::{GIVEN_BACK_WITHIN, operations, reserved},
};

const PRINCIPAL: &str = "p";
const SECRET: &str = "of the tests";

/// Every call carries the login, by TLS, and what a framework with a principal reserves must be signed by it.
#[test]
fn a_framework_with_a_principal_logs_in_by_https_and_signs_its_reservations() -> Result<()> {
    alone(async |data| {
        let dir = tempfile::tempdir()?;
        let mesos = millstream_testbed::Mesos::start(asks_for_a_login(dir.path())?).await?;
        let secret = dir.path().join("secret");
        fs::write(&secret, SECRET)?;
        let config = dir.path().join("millstream.toml");
        fs::write(&config, format!("[mesos]\nprincipal = {PRINCIPAL:?}\nsecret = {{ file = {secret:?} }}\n"))?;
        let proxy = TlsProxy::before(mesos.master()).await?;
        let ca = proxy.authority.ca();
        let args = ["--config", &config.display().to_string(), "--ca", &ca.display().to_string()].map(str::to_owned);
        let master = Some(format!("https://{}", proxy.address));
        let options = SchedulerOptions { master, args: args.into(), ..SchedulerOptions::default() };
        let scheduler = Millstream::scheduler(&mesos, options).await?;
        volume_comes_and_goes(&data.with(Some(mesos), scheduler)).await
    })
}

fn asks_for_a_login(dir: &Path) -> Result<MesosOptions> {
    let credentials = dir.join("credentials.json");
    fs::write(&credentials, json!({ "credentials": [{ "principal": PRINCIPAL, "secret": SECRET }] }).to_string())?;
    let mut options = MesosOptions { agents: 1, ..MesosOptions::default() };
    options.master_flags.extend([
        "--authenticate_http_frameworks".to_owned(),
        "--http_framework_authenticators=basic".to_owned(),
        format!("--credentials={}", credentials.display()),
    ]);
    Ok(options)
}

async fn volume_comes_and_goes(servers: &Servers) -> Result<()> {
    let scheduler_api = format!("http://{}/api/v1/scheduler", servers.mesos()?.master());
    let stranger = http::post_json(&scheduler_api, &json!({})).await;
    ensure!(stranger.is_err_and(|error| error.to_string().contains("401")), "a stranger is let in");
    let accounts = Accounts::prepare(servers, "login", 10).await?;
    let shape = Shape { tasks: 1, volume: Some("64MiB".to_owned()), placement: String::new(), ..Shape::default() };
    servers.millstream.deploy(&accounts.name, &accounts.shaped_job_file(servers, &shape)).await?;
    servers.placed_without(&accounts.name, &[]).await?;
    let principals: Vec<Value> = reserved(servers).await?.iter().map(signatures).collect();
    ensure!(principals == [json!([PRINCIPAL, PRINCIPAL])], "{principals:?}");
    servers.stop(&accounts.name).await?;
    servers.millstream.cli(&["delete", &accounts.name]).await?;
    eventually("all is given back", GIVEN_BACK_WITHIN, async || {
        Ok((reserved(servers).await?.is_empty() && operations(servers).await?.is_empty()).then_some(()))
    })
    .await
}

/// Who has reserved some disk, and who has made a volume of it.
fn signatures(resource: &Value) -> Value {
    json!([resource["reservations"][0]["principal"], resource["disk"]["persistence"]["principal"]])
}
