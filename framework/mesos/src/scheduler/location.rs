/// `host:port` that a redirect names. Masters send `//host:port/path`, the documentation shows `host:port`, and a proxy
/// may make it absolute.
pub(super) fn authority(location: &str) -> Option<&str> {
    let rest = match location.split_once("//") {
        Some(("" | "http:", rest)) => rest,
        Some(_) => return None,
        None => location,
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = authority.rsplit_once(':')?;
    (!host.is_empty() && !host.contains('@') && port.parse::<u16>().is_ok()).then_some(authority)
}

#[cfg(test)]
mod tests {
    use super::authority;

    #[test]
    fn three_forms_are_understood_and_no_other() {
        for location in [
            "//10.0.0.1:5050/master/api/v1/scheduler",
            "http://10.0.0.1:5050/api/v1/scheduler",
            "10.0.0.1:5050",
            "10.0.0.1:5050/api/v1/scheduler",
        ] {
            assert_eq!(authority(location), Some("10.0.0.1:5050"), "{location}");
        }
        assert_eq!(authority("//[::1]:5050/x"), Some("[::1]:5050"));
        for location in
            ["", "/api/v1/scheduler", "https://10.0.0.1:5050/", "//10.0.0.1/", "host", "//a@b:1", "//h:99999"]
        {
            assert_eq!(authority(location), None, "{location}");
        }
    }
}
