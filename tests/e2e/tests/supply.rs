//! What Millstream is built from: whose it is, under which licence, and that it comes from the registry.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

const HEAD: &str = "Millstream is built from these packages of crates.io, each under its own licence. Regenerate with\n\
                    `UPDATE=1 cargo test --release --test supply`, and read the difference.\n\
                    librdkafka (BSD-2-Clause; what it has of others is in its LICENSES.txt), OpenSSL (Apache-2.0), zlib (Zlib), zstd\n\
                    (BSD-3-Clause), curl (curl) and AWS-LC (as aws-lc-sys) come with rdkafka-sys, openssl-src, libz-sys, zstd-sys, curl-sys and aws-lc-sys.\n\n";

/// Libraries in C that are built in, with the crates that bring them.
const IN_C: [(&str, &str); 7] = [
    ("aws-lc", "aws-lc-sys"),
    ("curl", "curl-sys"),
    ("librdkafka", "rdkafka-sys"),
    ("lz4", "rdkafka-sys"),
    ("openssl", "openssl-sys"),
    ("zlib", "libz-sys"),
    ("zstd", "zstd-sys"),
];

/// A package that is not ours, and is part of a build on Linux.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    licence: String,
    /// Where it comes from; none for the registry.
    origin: Option<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn output(command: &mut Command) -> String {
    let output = command.current_dir(root()).output().expect("started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// As `cargo tree` sees it: `cargo metadata` lists what features bring that are off.
fn foreign() -> BTreeSet<Package> {
    let args =
        ["tree", "--locked", "--workspace", "--target", "x86_64-unknown-linux-gnu", "--edges", "normal,build,dev"];
    let lines = output(Command::new(env!("CARGO")).args(args).args(["--prefix", "none", "--format", "{p}|{l}|"]));
    let packages = lines.lines().filter(|line| !line.is_empty()).map(|line| {
        let (package, rest) = line.split_once('|').expect("name, version and licence");
        let mut words = package.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        Package {
            name: name.to_owned(),
            version: version.trim_start_matches('v').to_owned(),
            licence: rest.split('|').next().unwrap_or_default().to_owned(),
            origin: words.find(|word| *word != "(proc-macro)").map(str::to_owned),
        }
    });
    packages.filter(|package| package.origin.as_ref().is_none_or(|origin| !origin.starts_with("(/"))).collect()
}

/// Licences that let a program be given on under its own.
fn allowed() -> BTreeSet<String> {
    let deny = fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    let (_, list) = deny.split_once("\nallow = [").expect("a list of licences");
    let list = list.split(']').next().unwrap_or_default();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// An SPDX expression: `AND` binds closer than `OR`, which some write as a slash.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    // Licences with a blank in their name become one word.
    let expression = expression.replace('/', " OR ").replace(" WITH ", "+WITH+");
    let words = expression.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = words.split_whitespace().collect();
    let mut rest = words.as_slice();
    let one = |word: &str| allowed.contains(&word.replace("+WITH+", " WITH "));
    either(&mut rest, &one) && rest.is_empty()
}

fn either(rest: &mut &[&str], one: &dyn Fn(&str) -> bool) -> bool {
    let mut is_allowed = both(rest, one);
    while let ["OR", more @ ..] = *rest {
        *rest = more;
        is_allowed |= both(rest, one);
    }
    is_allowed
}

fn both(rest: &mut &[&str], one: &dyn Fn(&str) -> bool) -> bool {
    let mut is_allowed = single(rest, one);
    while let ["AND", more @ ..] = *rest {
        *rest = more;
        is_allowed &= single(rest, one);
    }
    is_allowed
}

fn single(rest: &mut &[&str], one: &dyn Fn(&str) -> bool) -> bool {
    match *rest {
        ["(", more @ ..] => {
            *rest = more;
            let is_allowed = either(rest, one);
            let [")", more @ ..] = *rest else { return false };
            *rest = more;
            is_allowed
        }
        [word, more @ ..] => {
            *rest = more;
            one(word)
        }
        [] => false,
    }
}

#[test]
fn licences_are_read_as_they_are_meant() {
    let known = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "ISC", "Zlib"].map(str::to_owned).into();
    for allowed in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-3.0 OR MIT",
        "(MIT OR GPL-3.0) AND ISC",
        "ISC AND (GPL-3.0 OR ISC) AND MIT",
        "MIT AND Zlib OR GPL-3.0",
        "GPL-3.0 OR Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(is_allowed(allowed, &known), "{allowed}");
    }
    for refused in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(GPL-3.0 OR AGPL-3.0) AND MIT",
        "(MIT) AND GPL-3.0",
        "MITX",
        "MIT MIT",
        "(MIT",
        "GPL-3.0 WITH LLVM-exception",
        "MIT AND",
    ] {
        assert!(!is_allowed(refused, &known), "{refused}");
    }
}

#[test]
fn every_package_is_of_the_registry_and_its_licence_lets_us_give_it_on() {
    let (packages, allowed) = (foreign(), allowed());
    assert!(packages.len() > 300, "only {} packages", packages.len());
    for Package { name, version, licence, origin } in packages {
        assert!(is_allowed(&licence, &allowed), "{name} {version}: {licence:?}");
        assert_eq!(origin, None, "{name} is not of the registry");
    }
}

#[test]
fn the_notice_names_every_package() {
    let line = |package: Package| format!("{} {}: {}\n", package.name, package.version, package.licence);
    let lines: BTreeSet<String> = foreign().into_iter().map(line).collect();
    let notice = HEAD.to_owned() + &lines.into_iter().collect::<String>();
    let file = root().join("NOTICE");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &notice).expect("written");
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    let missing: Vec<_> = notice.lines().filter(|line| !committed.lines().any(|there| there == *line)).collect();
    assert!(committed == notice, "NOTICE is not current: {missing:?} are missing, or others are too many");
}

/// `make sbom`: the same each time, whole, and nothing in it that only builds and tests use.
#[test]
fn the_bill_of_materials_lists_what_is_built_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let written = ["a", "b"].map(|name| {
        let file = folder.path().join(name);
        output(Command::new("python3").arg("deploy/sbom.py").arg(&file));
        fs::read_to_string(file).expect("written")
    });
    assert!(written[0] == written[1], "it differs from one time to the next");
    let bom: Value = serde_json::from_str(&written[0]).expect("JSON");
    assert!(bom["bomFormat"] == "CycloneDX" && bom["specVersion"] == "1.5" && bom["version"] == 1);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (components, allowed) = (list(&bom["components"]), allowed());
    let packages: BTreeSet<String> = foreign().into_iter().map(|p| format!("{} {}", p.name, p.version)).collect();
    let mut known = BTreeSet::from(["millstream".to_owned()]);
    for component in &components {
        let (name, version, purl) = (text(&component["name"]), text(&component["version"]), text(&component["purl"]));
        assert!(known.insert(text(&component["bom-ref"])), "{name} {version} is there twice");
        let licence = text(&component["licenses"][0]["expression"]);
        // curl's own, of MIT's kind, which no package of the registry has.
        assert!(licence == "curl" || is_allowed(&licence, &allowed), "{component}");
        if purl.starts_with("pkg:cargo/") {
            assert!(packages.contains(&format!("{name} {version}")), "{name} {version} is not built in");
            assert_eq!(text(&component["hashes"][0]["content"]).len(), 64, "{name}");
        } else if purl.is_empty() {
            assert!(name.starts_with("millstream-"), "{name}");
        }
    }
    let named = |name: &str| components.iter().find(|component| component["name"] == name);
    for (library, bringer) in IN_C {
        let purl = format!("pkg:generic/{library}@");
        let component = components.iter().find(|component| text(&component["purl"]).starts_with(&purl));
        let component = component.unwrap_or_else(|| panic!("{library} is missing"));
        let version = text(&component["version"]);
        assert!(version.split('.').count() == 3 && version.split('.').all(|n| n.parse::<u32>().is_ok()), "{version}");
        assert!(text(&component["description"]).contains(bringer), "{component}");
    }
    for there in ["tokio", "scylla", "rdkafka", "axum", "datafusion-sql", "millstream-cli", "millstream-stream"] {
        assert!(named(there).is_some(), "{there} is missing");
    }
    for not in ["insta", "proptest", "cargo_metadata", "syn", "cc", "millstream-testbed"] {
        assert!(named(not).is_none(), "{not} is not built in");
    }
    for dependency in list(&bom["dependencies"]) {
        let all = list(&dependency["dependsOn"]);
        let unknown = all.iter().chain([&dependency["ref"]]).find(|one| !known.contains(&text(one)));
        assert!(unknown.is_none(), "{unknown:?} is no component");
    }
}
