//! What Millstream is built from: whose it is, under which licence, and that it comes from the registry.

use std::{collections::BTreeSet, fs, path::PathBuf};

use cargo_metadata::{Metadata, MetadataCommand, Package};

/// Licences that let a program be given on under its own.
const LICENCES: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

const HEAD: &str = "Millstream is built from these packages of crates.io, each under its own licence. Regenerate with\n\
                    `UPDATE=1 cargo test --release --test supply`, and read the difference.\n\
                    librdkafka (BSD-2-Clause), OpenSSL (Apache-2.0), zlib (Zlib) and zstd (BSD-3-Clause) come with rdkafka-sys, openssl-src,\n\
                    libz-sys and zstd-sys.\n\n";

fn metadata() -> Metadata {
    let platform = ["--locked", "--filter-platform", "x86_64-unknown-linux-gnu"].map(str::to_owned);
    MetadataCommand::new().other_options(platform).exec().expect("cargo metadata")
}

/// What is not ours, and is part of a build on Linux.
fn foreign(metadata: &Metadata) -> Vec<&Package> {
    let built: BTreeSet<_> = metadata.resolve.iter().flat_map(|graph| &graph.nodes).map(|node| &node.id).collect();
    metadata.packages.iter().filter(|package| package.source.is_some() && built.contains(&package.id)).collect()
}

fn is_allowed(licence: &str) -> bool {
    let licence = licence.replace('/', " OR ");
    // `(A OR B) AND C` is the only form with brackets: what stands in them counts as one.
    if let Some((inside, rest)) = licence.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        return is_allowed(inside) && rest.trim().strip_prefix("AND ").is_none_or(is_allowed);
    }
    licence.split(" OR ").any(|all| all.split(" AND ").all(|one| LICENCES.contains(&one.trim())))
}

#[test]
fn licences_are_read_as_they_are_meant() {
    for allowed in ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR GPL-3.0) AND ISC", "MIT AND Zlib"] {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in ["", "GPL-3.0", "MIT AND GPL-3.0", "(GPL-3.0 OR AGPL-3.0) AND MIT", "(MIT) AND GPL-3.0", "MITX"] {
        assert!(!is_allowed(refused), "{refused}");
    }
}

#[test]
fn every_package_is_of_the_registry_and_its_licence_lets_us_give_it_on() {
    let metadata = metadata();
    for package in foreign(&metadata) {
        let licence = package.license.as_deref().unwrap_or_default();
        assert!(is_allowed(licence), "{} {}: {licence:?}", package.name, package.version);
        let source = package.source.as_ref().map(|source| source.repr.clone()).unwrap_or_default();
        assert!(source.starts_with("registry+"), "{} comes from {source}", package.name);
    }
}

#[test]
fn the_notice_names_every_package() {
    let metadata = metadata();
    let line = |package: &&Package| {
        format!("{} {}: {}\n", package.name, package.version, package.license.as_deref().unwrap_or_default())
    };
    let lines: BTreeSet<String> = foreign(&metadata).iter().map(line).collect();
    let notice = HEAD.to_owned() + &lines.into_iter().collect::<String>();
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../NOTICE");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &notice).expect("written");
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    let missing: Vec<_> = notice.lines().filter(|line| !committed.lines().any(|there| there == *line)).collect();
    assert!(committed == notice, "NOTICE is not current: {missing:?} are missing, or others are too many");
}
