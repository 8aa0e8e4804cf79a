//! `[sink.cassandra.tls]`

use toml::de::DeValue;

use crate::{
    CassandraTls, Diagnostic, Setting,
    read::{entry::Entry, report::Report, setting},
};

/// What every PEM text has.
const BEGIN: &str = "-----BEGIN ";

pub(super) fn read(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<CassandraTls> {
    let section = match entry.value() {
        DeValue::Table(_) => entry.section(r)?,
        _ => {
            let help = "write a section [sink.cassandra.tls] with `ca = { file = \"/path/ca.pem\" }`";
            return entry.wrong_type(r, "a section", help);
        }
    };
    section.check_keys(r);
    let ca = section.required(r, "ca", "ca = { file = \"/path/ca.pem\" }").and_then(|e| pem(&e, r));
    let cert = section.optionally("cert", |e| pem(&e, r));
    let key = section.optionally("key", |e| setting::read(&e, true, r));
    let name = section.optionally("name", |e| name(&e, r));
    let half = match (section.optional("cert"), section.optional("key")) {
        (Some(cert), None) => Some((cert, "key")),
        (None, Some(key)) => Some((key, "cert")),
        _ => None,
    };
    if let Some((there, missing)) = half.filter(|(_, missing)| !section.is_misspelt(missing)) {
        r.push(
            Diagnostic::error(there.key.clone(), format!("there is no `{missing}` beside it"))
                .note("a client's certificate is of use with its private key only")
                .help(format!("add `{missing} = {{ file = \"/path/{missing}.pem\" }}`")),
        );
    }
    Some(CassandraTls { ca: ca?, cert: cert?, key: key?, name: name? })
}

/// A text that is no secret, so that it may stand in the file itself.
fn pem(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<Setting> {
    let setting = setting::read(entry, false, r)?;
    match &setting {
        Setting::Value(text) if !text.contains(BEGIN) => {
            let path = if text.starts_with('/') { text } else { "/path/ca.pem" };
            r.push(
                Diagnostic::error(entry.span(), "this is no certificate in PEM")
                    .help(format!("write `{{ file = \"{path}\" }}` for a file, or the text itself from {BEGIN}… on")),
            );
            None
        }
        _ => Some(setting),
    }
}

fn name(entry: &Entry<'_>, r: &mut Report<'_>) -> Option<String> {
    let text = entry.filled_string(r)?;
    if text.value.contains(|c: char| c.is_whitespace() || "*/:@".contains(c)) && !text.value.contains("::") {
        r.push(
            Diagnostic::error(text.span, "this is no name that a certificate is checked for")
                .help("write one name as it is asked for, without port and `*`, as in \"cassandra.example\""),
        );
        return None;
    }
    Some(text.value.to_owned())
}
