//! Who issues tokens, by client credentials (RFC 6749, 4.4), and the key that they are known by (RFC 7517).

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Redirect, Response},
    routing::post,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::KAFKA_PASSWORD;

pub(crate) const AUDIENCE: &str = "orders-kafka";
pub(crate) const ISSUER: &str = "https://login.example";

/// How long a token is good for.
const LIFE: Duration = Duration::from_secs(600);

/// Serves until the process ends.
pub(crate) struct Issuer {
    address: String,
    jwks: PathBuf,
    desk: Arc<Desk>,
    _dir: TempDir,
}

struct Desk {
    key: KeyPair,
    /// Of somebody else.
    forged: KeyPair,
    arrived_by_detour: AtomicUsize,
}

impl Issuer {
    pub(crate) async fn start() -> Result<Issuer> {
        let dir = TempDir::new()?;
        let desk =
            Desk { key: KeyPair::generate()?, forged: KeyPair::generate()?, arrived_by_detour: AtomicUsize::new(0) };
        let (desk, jwks) = (Arc::new(desk), dir.path().join("jwks.json"));
        // A point of P-256, uncompressed: 4, x, y.
        let (x, y) = desk.key.der_bytes()[1..].split_at_checked(32).context("a point")?;
        let known = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k", "use": "sig", "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)}]});
        std::fs::write(&jwks, known.to_string())?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let router = Router::new()
            .route("/token", post(token))
            .route("/detour", post(async || Redirect::temporary("/arrived")))
            .route("/arrived", post(arrived))
            .with_state(desk.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Issuer { address, jwks, desk, _dir: dir })
    }

    /// The token endpoint.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// One that leads elsewhere.
    pub(crate) fn detour(&self) -> String {
        format!("http://{}/detour", self.address)
    }

    /// How many followed it.
    pub(crate) fn arrived_by_detour(&self) -> usize {
        self.desk.arrived_by_detour.load(Ordering::Relaxed)
    }

    /// File of the key that brokers know.
    pub(crate) fn jwks(&self) -> &Path {
        &self.jwks
    }
}

async fn arrived(State(desk): State<Arc<Desk>>) -> StatusCode {
    desk.arrived_by_detour.fetch_add(1, Ordering::Relaxed);
    StatusCode::NO_CONTENT
}

async fn token(State(desk): State<Arc<Desk>>, headers: HeaderMap, form: String) -> Response {
    let login = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let login = login.and_then(|login| STANDARD.decode(login.strip_prefix("Basic ")?).ok()).unwrap_or_default();
    let login = String::from_utf8_lossy(&login).into_owned();
    let client = login.strip_suffix(&format!(":{KAFKA_PASSWORD}"));
    let Some(client) = client.filter(|_| form.contains("grant_type=client_credentials")) else {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))).into_response();
    };
    let now_secs = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let expires = if client == "old" { now_secs - LIFE.as_secs() } else { now_secs + LIFE.as_secs() };
    let audience = if client == "audience" { "another" } else { AUDIENCE };
    let claims =
        json!({"iss": ISSUER, "sub": client, "aud": audience, "iat": now_secs - LIFE.as_secs() * 2, "exp": expires});
    let key = if client == "forged" { &desk.forged } else { &desk.key };
    let token = signed(key, &claims).expect("a key signs");
    Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": LIFE.as_secs()})).into_response()
}

/// A JSON web token (RFC 7519), signed by ES256.
fn signed(key: &KeyPair, claims: &Value) -> Result<String> {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let said = format!("{}.{}", part(&json!({"alg": "ES256", "typ": "JWT", "kid": "k"})), part(claims));
    let der = key.sign(said.as_bytes())?;
    Ok(format!("{said}.{}", URL_SAFE_NO_PAD.encode(fixed(&der)?)))
}

/// The two numbers of a signature in DER, 32 bytes each (RFC 7518, 3.4).
fn fixed(der: &[u8]) -> Result<Vec<u8>> {
    // SEQUENCE, its length, and twice INTEGER, its length, its bytes.
    let mut rest = der.get(2..).context("no sequence")?;
    let mut all = vec![];
    for _ in 0..2 {
        let length = usize::from(*rest.get(1).context("no integer")?);
        let number = rest.get(2..2 + length).context("too short")?;
        let number = &number[number.len().saturating_sub(32)..];
        all.extend(std::iter::repeat_n(0, 32 - number.len()));
        all.extend(number);
        rest = &rest[2 + length..];
    }
    Ok(all)
}
