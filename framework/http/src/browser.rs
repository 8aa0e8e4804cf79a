//! What a page of another site must not do here: a browser carries requests for whoever made the page it shows.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

/// Names by which this server is known, besides its addresses and `localhost`: a name of somebody else's that leads here
/// (DNS rebinding) is none of them.
#[derive(Debug, Clone, Default)]
pub struct Hosts(Arc<Vec<String>>);

impl Hosts {
    /// These names, without ports.
    pub fn new(names: impl IntoIterator<Item = String>) -> Hosts {
        Hosts(Arc::new(names.into_iter().map(|name| name.to_ascii_lowercase()).collect()))
    }

    fn knows(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        // No name of anybody's leads to an address but itself.
        host == "localhost" || host.parse::<IpAddr>().is_ok() || self.0.contains(&host)
    }
}

/// Headers of every answer: nothing of it is kept, guessed at, framed, or told to other sites.
const ALWAYS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// For answers that are no pages.
const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Refuses requests for other hosts and from pages of other sites, and adds headers that browsers heed.
pub async fn guard(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&hosts, request.method(), request.headers()) {
        Some((status, why)) => (status, why).into_response(),
        None => next.run(request).await,
    };
    for (name, value) in ALWAYS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response.headers_mut().entry(header::CONTENT_SECURITY_POLICY).or_insert(NOTHING);
    response
}

fn refusal(hosts: &Hosts, method: &Method, headers: &HeaderMap) -> Option<(StatusCode, String)> {
    let mut named = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (named.next(), named.next()) else {
        return Some((StatusCode::BAD_REQUEST, "a request names one host\n".into()));
    };
    let authority: Option<Authority> = host.to_str().ok().and_then(|host| host.parse().ok());
    let Some(authority) = authority.filter(|authority| hosts.knows(authority.host())) else {
        let why =
            "this server is not known by that name; ask it by its address, or add the name to `hosts` in [http]\n";
        return Some((StatusCode::MISDIRECTED_REQUEST, why.into()));
    };
    let is_foreign = |origin: &HeaderValue| {
        let origin = origin.to_str().unwrap_or("null");
        origin.split_once("://").is_none_or(|(_, rest)| !rest.eq_ignore_ascii_case(authority.as_str()))
    };
    if headers.get(header::ORIGIN).is_some_and(is_foreign) {
        return Some((StatusCode::FORBIDDEN, "pages of other sites may not ask here\n".into()));
    }
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    // A link from elsewhere may lead to a page; nothing else may be asked from elsewhere.
    let follows_link = method == Method::GET && headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
    if matches!(site, Some("cross-site" | "same-site")) && !follows_link {
        return Some((StatusCode::FORBIDDEN, "pages of other sites may not ask here\n".into()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: Method, headers: &[(&'static str, &'static str)]) -> Option<u16> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        refusal(&Hosts::new(["Scheduler.example".into()]), &method, &map).map(|(status, _)| status.as_u16())
    }

    #[test]
    fn only_own_names_and_addresses_are_hosts() {
        for host in ["127.0.0.1:7070", "[::1]:7070", "10.0.0.1", "localhost:7070", "LOCALHOST", "scheduler.example:1"] {
            assert_eq!(status(Method::GET, &[("host", host)]), None, "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:7070", "", "a b", "user@localhost@x"]
        {
            assert!(matches!(status(Method::GET, &[("host", host)]), Some(400 | 421)), "{host}");
        }
        assert_eq!(status(Method::GET, &[]), Some(400));
        assert_eq!(status(Method::GET, &[("host", "localhost"), ("host", "evil.example")]), Some(400));
    }

    #[test]
    fn pages_of_other_sites_ask_nothing() {
        let with = |method, more: &[(&'static str, &'static str)]| {
            status(method, &[&[("host", "127.0.0.1:7070")], more].concat())
        };
        assert_eq!(with(Method::POST, &[("origin", "http://127.0.0.1:7070")]), None);
        for origin in ["http://evil.example", "null", "http://127.0.0.1:8080", "http://127.0.0.1:7070.evil.example", ""]
        {
            assert_eq!(with(Method::POST, &[("origin", origin)]), Some(403), "{origin}");
            assert_eq!(with(Method::GET, &[("origin", origin)]), Some(403), "{origin}");
        }
        let site = |method, mode| with(method, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", mode)]);
        assert_eq!((site(Method::GET, "navigate"), site(Method::GET, "no-cors")), (None, Some(403)));
        assert_eq!(site(Method::POST, "navigate"), Some(403), "a form");
        assert_eq!(with(Method::GET, &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")]), None);
        assert_eq!(with(Method::GET, &[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")]), None);
    }
}
