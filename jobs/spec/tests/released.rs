//! Job files of every release (`released/README.md`): each is accepted for ever, and means what it meant.

use std::{
    fs,
    path::{Path, PathBuf},
};

use millstream_spec::{JobSpec, parse};

/// Files of the first release.
const FILES_MIN: usize = 12;

fn released() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/released");
    let releases = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut files: Vec<_> = releases
        .flat_map(|release| fs::read_dir(release).unwrap().map(|entry| entry.unwrap().path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    files
}

fn read(file: &Path) -> (String, JobSpec) {
    let text = fs::read_to_string(file).unwrap();
    let job = parse(file.file_name().unwrap().to_str().unwrap(), &text);
    (text, job.unwrap_or_else(|refused| panic!("{}: {refused}", file.display())).spec)
}

#[test]
fn every_released_job_file_is_accepted_and_means_what_it_meant() {
    let files = released();
    assert!(files.len() >= FILES_MIN, "{} files: was one removed?", files.len());
    for file in files {
        let (_, spec) = read(&file);
        let meant = file.with_extension("json");
        if std::env::var_os("UPDATE").is_some() && !meant.exists() {
            fs::write(&meant, serde_json::to_string_pretty(&spec).unwrap() + "\n").unwrap();
        }
        let meant: JobSpec = serde_json::from_str(&fs::read_to_string(meant).unwrap()).unwrap();
        assert_eq!(spec, meant, "{}", file.display());
    }
}

#[test]
fn the_released_job_files_use_every_key() {
    let all: String = released().iter().map(|file| read(file).0).collect();
    let keys = [
        "name",
        "bootstrap",
        "topic",
        "group",
        "start",
        "format",
        "options",
        "columns",
        "type",
        "path",
        "required",
        "sql",
        "contact_points",
        "datacenter",
        "keyspace",
        "table",
        "consistency",
        "ttl",
        "column",
        "nulls",
        "username",
        "password",
        "env",
        "file",
        "count",
        "cpus",
        "mem",
        "goal",
        "max_wait",
        "max_share_per_host",
        "max_share_per_rack",
        "constraints",
        "bad_record",
        "dead_letter",
    ];
    let written = |key: &str| all.contains(&format!("{key} =")) || all.contains(&format!("{key}]"));
    let missing: Vec<_> = keys.into_iter().filter(|key| !written(key)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}
