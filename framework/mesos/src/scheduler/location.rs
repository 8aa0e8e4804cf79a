use super::{MasterUrl, Scheme, address::is_host_and_port};

/// Why a redirect is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadLocation {
    /// It names no http(s) `host:port`.
    Nowhere,
    /// From https to http: the credentials would travel in the clear.
    Downgrade,
}

/// Where a redirect of `from` leads. Masters send `//host:port/path` (Master::Http::redirect), the documentation shows
/// `host:port`: both keep the scheme. A proxy may make it absolute.
pub(super) fn target(from: &MasterUrl, location: &str) -> Result<MasterUrl, BadLocation> {
    let (scheme, rest) = match location.split_once("//") {
        Some(("", rest)) => (from.scheme, rest),
        Some(("http:", rest)) => (Scheme::Http, rest),
        Some(("https:", rest)) => (Scheme::Https, rest),
        Some(_) => return Err(BadLocation::Nowhere),
        None => (from.scheme, location),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match (from.scheme, scheme) {
        _ if !is_host_and_port(authority) => Err(BadLocation::Nowhere),
        (Scheme::Https, Scheme::Http) => Err(BadLocation::Downgrade),
        _ => Ok(MasterUrl { scheme, authority: authority.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(scheme: Scheme, location: &str) -> Result<String, BadLocation> {
        target(&MasterUrl { scheme, authority: "old:5050".into() }, location).map(|url| url.to_string())
    }

    #[test]
    fn three_forms_are_understood_and_no_other() {
        for location in ["//10.0.0.1:5050/master/api/v1/scheduler", "10.0.0.1:5050", "10.0.0.1:5050/api/v1/scheduler"] {
            assert_eq!(follow(Scheme::Http, location).unwrap(), "http://10.0.0.1:5050", "{location}");
            assert_eq!(follow(Scheme::Https, location).unwrap(), "https://10.0.0.1:5050", "{location}");
        }
        assert_eq!(follow(Scheme::Http, "http://a:1/api/v1/scheduler").unwrap(), "http://a:1");
        assert_eq!(follow(Scheme::Http, "https://a:1/").unwrap(), "https://a:1");
        assert_eq!(follow(Scheme::Https, "https://a:1?x").unwrap(), "https://a:1");
        assert_eq!(follow(Scheme::Http, "//[::1]:5050/x").unwrap(), "http://[::1]:5050");
        for location in ["", "/api/v1/scheduler", "ftp://10.0.0.1:5050/", "//10.0.0.1/", "host", "//a@b:1", "//h:99999"]
        {
            assert_eq!(follow(Scheme::Http, location), Err(BadLocation::Nowhere), "{location}");
        }
    }

    #[test]
    fn https_does_not_lead_down_to_http() {
        assert_eq!(follow(Scheme::Https, "http://10.0.0.1:5050/"), Err(BadLocation::Downgrade));
    }
}
