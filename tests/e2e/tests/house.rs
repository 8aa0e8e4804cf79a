//! Invariant 1 of ARCHITECTURE.md, held by machine: PURE crates stay pure, nothing depends on a program, and the crates
//! that must not know of each other don't.

use std::{collections::BTreeSet, fs, path::Path};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// Facts and `now` go in, data comes out.
const PURE: [&str; 6] = [
    "millstream-spec",
    "millstream-placement",
    "millstream-mesos-types",
    "millstream-scheduler",
    "millstream-protocol",
    "millstream-pipeline",
];

/// The programs. Their libraries, if they have one, are for their own tests.
const PROGRAMS: [&str; 2] = ["millstream-cli", "millstream-stream"];

/// Crates no PURE crate may reach, however far down.
const IO_CRATES: [&str; 7] = ["tokio", "hyper", "axum", "rdkafka", "scylla", "redb", "nix"];

/// `datafusion-functions` brings tokio and object_store along through `datafusion-execution`, which the pipeline never calls: it
/// evaluates expressions on batches in hand. What DataFusion itself is built from is therefore not followed.
const NOT_FOLLOWED: &str = "datafusion-";

/// Crates no PURE crate may name itself. DataFusion's own functions bring `rand` along; the pipeline refuses those functions.
const RANDOM_CRATES: [&str; 4] = ["rand", "getrandom", "fastrand", "uuid"];

/// Ways out that no dependency list shows. Addresses as values (`std::net::IpAddr`) and a scoped thread for its stack are none.
const IMPURE_PATHS: [&str; 11] = [
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
    "std::env",
    "std::fs",
    "std::process",
    "thread::spawn",
    "thread::sleep",
    "TcpStream",
    "UdpSocket",
];

/// Who must not know whom, with the reason.
const STRANGERS: [(&str, &str, &str); 7] = [
    ("millstream-placement", "millstream-mesos-types", "placement knows no Mesos JSON"),
    ("millstream-placement", "millstream-spec", "placement knows no TOML"),
    ("millstream-placement", "toml", "placement knows no TOML"),
    ("millstream-pipeline", "millstream-topology", "the pipeline knows no sink"),
    ("millstream-pipeline", "millstream-placement", "the pipeline does not care where it runs"),
    ("millstream-mesos", "millstream-scheduler", "the wire knows no decisions"),
    ("millstream-local", "millstream-scheduler", "a master knows nothing of its frameworks"),
];

fn metadata() -> Metadata {
    MetadataCommand::new().other_options(["--locked".to_owned()]).exec().expect("cargo metadata")
}

fn id<'a>(metadata: &'a Metadata, name: &str) -> &'a PackageId {
    &metadata.packages.iter().find(|p| p.name.as_str() == name).unwrap_or_else(|| panic!("no package {name}")).id
}

/// Names of what `package` is built from, itself left out. Dev- and build-dependencies don't count.
fn reachable(metadata: &Metadata, package: &str) -> BTreeSet<String> {
    let resolve = metadata.resolve.as_ref().expect("a resolved graph");
    let mut seen: BTreeSet<&PackageId> = BTreeSet::new();
    let mut open = vec![id(metadata, package)];
    while let Some(next) = open.pop() {
        let node = resolve.nodes.iter().find(|n| n.id == *next).expect("every package has a node");
        for dep in &node.deps {
            let normal = dep.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal);
            if normal && seen.insert(&dep.pkg) && !metadata[&dep.pkg].name.starts_with(NOT_FOLLOWED) {
                open.push(&dep.pkg);
            }
        }
    }
    seen.into_iter().map(|id| metadata[id].name.to_string()).collect()
}

#[test]
fn pure_crates_reach_no_io() {
    let metadata = metadata();
    for package in PURE {
        let reached = reachable(&metadata, package);
        let bad: Vec<_> = IO_CRATES.iter().filter(|io| reached.contains(**io)).collect();
        assert!(bad.is_empty(), "{package} is PURE but reaches {bad:?}: `cargo tree -p {package} -i {}`", bad[0]);
        let direct = &metadata[id(&metadata, package)].dependencies;
        let random =
            direct.iter().find(|d| d.kind == DependencyKind::Normal && RANDOM_CRATES.contains(&d.name.as_str()));
        assert!(random.is_none(), "{package} is PURE but names {}", random.expect("just seen").name);
    }
}

#[test]
fn pure_crates_ask_no_clock_and_no_environment() {
    let metadata = metadata();
    for package in PURE {
        let manifest = metadata[id(&metadata, package)].manifest_path.clone();
        let mut files = 0;
        for_each_source(
            manifest.parent().expect("a manifest has a folder").join("src").as_std_path(),
            &mut |path, text| {
                files += 1;
                // Tests of a pure crate may read their cases.
                let text = text.split("#[cfg(test)]").next().unwrap_or_default();
                for bad in IMPURE_PATHS {
                    assert!(!text.contains(bad), "{}: {package} is PURE but uses {bad}", path.display());
                }
            },
        );
        assert!(files > 0, "{package} has no source");
    }
}

fn for_each_source(folder: &Path, see: &mut dyn FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            for_each_source(&path, see);
        } else if path.extension().is_some_and(|e| e == "rs") {
            see(&path, &fs::read_to_string(&path).expect("UTF-8 source"));
        }
    }
}

#[test]
fn nothing_depends_on_a_program() {
    let metadata = metadata();
    for program in PROGRAMS {
        assert!(metadata[id(&metadata, program)].targets.iter().any(|t| t.is_bin()), "{program} has no program");
    }
    for package in metadata.workspace_packages() {
        for dep in &package.dependencies {
            assert!(!PROGRAMS.contains(&dep.name.as_str()), "{} depends on the program {}", package.name, dep.name);
        }
    }
}

#[test]
fn strangers_stay_strangers() {
    let metadata = metadata();
    for (package, stranger, why) in STRANGERS {
        assert!(!reachable(&metadata, package).contains(stranger), "{package} must not reach {stranger}: {why}");
    }
}

/// All properties in librdkafka's own table, also the hidden ones and aliases.
fn librdkafka_properties() -> BTreeSet<String> {
    let metadata = metadata();
    let package = metadata.packages.iter().find(|package| package.name.as_str() == "rdkafka-sys").expect("rdkafka-sys");
    let folder = package.manifest_path.parent().expect("a folder").join("librdkafka/src/rdkafka_conf.c");
    let source = fs::read_to_string(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let table = source.split_once("rd_kafka_properties[] = {").expect("the table").1;
    let table = table.split_once("/* End */").expect("its end").0;
    let property = regex::Regex::new(r#"\{\s*_RK_[A-Z_|\s]+,\s*"([^"]+)",\s*_RK_C_"#).expect("a pattern");
    property.captures_iter(table).map(|found| found[1].to_owned()).collect()
}

/// A job file comes from a stranger: what a new librdkafka can do is nothing a job may, until somebody has looked at it.
#[test]
fn every_kafka_property_is_allowed_with_a_reason_or_refused_by_name() {
    use millstream_spec::kafka_options::{ALLOWED, FORBIDDEN, Group, OVERRULED, OWNED, Rule, rule};
    let all = librdkafka_properties();
    assert!(
        all.len() > 190 && all.contains("plugin.library.paths") && all.contains("test.mock.num.brokers"),
        "{all:?}"
    );
    let unknown: Vec<_> = all.iter().filter(|name| rule(name) == Rule::Unknown).collect();
    assert!(unknown.is_empty(), "in no table of kafka_options.rs: {unknown:?}");

    let names = |groups: &'static [Group]| groups.iter().flat_map(|group| group.names).copied();
    // rdkafka's own alias of `auto.offset.reset`, and what Kerberos-less builds leave out.
    let stale: Vec<_> = names(ALLOWED).chain(names(OVERRULED)).filter(|name| !all.contains(*name)).collect();
    assert!(stale.is_empty(), "librdkafka does not know {stale:?}");

    let job = |name: &str| {
        let text =
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../jobs/spec/tests/good/minimal.toml"));
        let options = format!("[source.kafka.options]\n\"{name}\" = \"x\"\n\n[source.columns]");
        millstream_spec::parse("job.toml", &text.expect("a job").replace("[source.columns]", &options))
    };
    let allowed: BTreeSet<&str> = names(ALLOWED).chain(names(OVERRULED)).collect();
    for name in &all {
        match job(name) {
            Ok(_) => assert!(allowed.contains(name.as_str()), "{name} is accepted"),
            Err(refused) => assert!(refused.to_string().contains(name.as_str()), "{name}: {refused}"),
        }
    }
    let twice: Vec<_> = names(OWNED).chain(names(FORBIDDEN)).filter(|name| allowed.contains(name)).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/job-file.md")).expect("the page");
    let untold: Vec<_> = allowed.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(untold.is_empty(), "docs/job-file.md does not name {untold:?}");
}
