//! JSON over plain HTTP, as much as the testbed asks of Mesos and of Millstream.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;

/// For one whole answer; everything asked is on this machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// GET of a JSON document.
pub async fn get(url: &str) -> Result<Value> {
    let text = text(url).await?;
    serde_json::from_str(&text).with_context(|| format!("{url} does not answer in JSON: {text}"))
}

/// GET of a text.
pub async fn text(url: &str) -> Result<String> {
    send(Method::GET, url, "").await
}

/// Sends a body and gives the body of the answer; a status other than 2xx is an error that holds it.
pub async fn send(method: Method, url: &str, body: &str) -> Result<String> {
    let request = Request::builder().method(&method).uri(url).body(Full::new(Bytes::from(body.to_owned())))?;
    answer(request).await
}

/// The same with a token, and the body as JSON.
pub async fn send_as(token: &str, method: Method, url: &str, body: &str) -> Result<String> {
    let request = Request::builder().method(&method).uri(url);
    let request = request.header("Authorization", format!("Bearer {token}")).header("Content-Type", "application/json");
    answer(request.body(Full::new(Bytes::from(body.to_owned())))?).await
}

/// POST of a JSON document, as [`send`].
pub async fn post_json(url: &str, body: &Value) -> Result<String> {
    let request = Request::post(url).header("Content-Type", "application/json").header("Accept", "application/json");
    answer(request.body(Full::new(Bytes::from(body.to_string())))?).await
}

async fn answer(request: Request<Full<Bytes>>) -> Result<String> {
    let (method, url) = (request.method().clone(), request.uri().clone());
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let answer = async {
        let response = client.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    let (status, text) = tokio::time::timeout(ANSWER_WITHIN, answer)
        .await
        .with_context(|| format!("{url} does not answer within {ANSWER_WITHIN:?}"))?
        .with_context(|| format!("{method} {url}"))?;
    if !status.is_success() {
        bail!("{method} {url}: {status}: {text}");
    }
    Ok(text)
}
