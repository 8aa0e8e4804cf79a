//! The corpus of job files: each bad one is refused with exactly its expected text, each good one survives its way
//! through JSON. Regenerate what is expected with `UPDATE=1 cargo test -p millstream-spec`, and read the difference.

use std::{
    fs,
    path::{Path, PathBuf},
};

use millstream_spec::{Diagnostics, JobFile, JobSpec, Located, Severity, Start, TaskCount, Tier, Ttl, parse};
use proptest::prelude::*;

/// Issue 3 asks for at least this many.
const BAD_FILES_MIN: usize = 40;

fn corpus(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    files
}

fn parse_file(file: &Path) -> Result<JobFile, Diagnostics> {
    let name = file.file_name().unwrap().to_str().unwrap();
    parse(name, &fs::read_to_string(file).unwrap())
}

fn check(expected: &Path, found: &str, wrong: &mut Vec<String>) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(expected, found).unwrap();
    }
    let text = fs::read_to_string(expected).unwrap_or_default();
    if text != found {
        wrong.push(format!("{}\n--- expected\n{text}\n--- found\n{found}", expected.display()));
    }
}

#[test]
fn every_bad_file_is_refused_with_exactly_its_text() {
    let files = corpus("bad");
    assert!(files.len() >= BAD_FILES_MIN, "{} bad files", files.len());
    let mut wrong = vec![];
    for file in &files {
        let diagnostics = match parse_file(file) {
            Err(diagnostics) => diagnostics,
            Ok(job) => panic!("{} is accepted: {:?}", file.display(), job.spec),
        };
        assert!(diagnostics.has_errors());
        check(&file.with_extension("stderr"), &diagnostics.render(false), &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_error_has_a_place_and_a_remedy() {
    for file in corpus("bad") {
        let text = fs::read_to_string(&file).unwrap();
        let diagnostics = parse_file(&file).unwrap_err();
        for item in diagnostics.items() {
            assert!(text.get(item.span.clone()).is_some(), "{}: {item:?}", file.display());
            assert!(!item.help.is_empty(), "{}: no remedy: {item:?}", file.display());
            assert!(!item.message.ends_with('.'), "{}: {item:?}", file.display());
        }
    }
}

#[test]
fn no_output_shows_a_secret() {
    for file in corpus("bad") {
        let diagnostics = parse_file(&file).unwrap_err();
        let json = serde_json::to_string(&diagnostics.locate()).unwrap();
        for shown in [diagnostics.render(false), diagnostics.render(true), json] {
            assert!(!shown.contains("hunter2"), "{}: {shown}", file.display());
        }
    }
}

#[test]
fn every_good_file_survives_its_way_through_json() {
    for file in corpus("good") {
        let job = parse_file(&file).unwrap_or_else(|e| panic!("{e}"));
        let json = serde_json::to_string(&job.spec).unwrap();
        assert_eq!(serde_json::from_str::<JobSpec>(&json).unwrap(), job.spec, "{}", file.display());
    }
}

proptest! {
    /// Whatever a slip of the hand makes of a file: an answer, and every part of it can be shown.
    #[test]
    fn no_text_panics(at in 0.0..1.0f64, cut in 0usize..12, put in "[\\[\\]{}\"'=.,#\n\\\\ aé0-]{0,4}") {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/good/everything.toml")).unwrap();
        let from = text.floor_char_boundary((text.len() as f64 * at) as usize);
        let to = text.ceil_char_boundary((from + cut).min(text.len()));
        let slipped = format!("{}{put}{}", &text[..from], &text[to..]);
        let shown = match parse("slip.toml", &slipped) {
            Ok(job) => job.warnings,
            Err(diagnostics) => diagnostics,
        };
        prop_assert_eq!(shown.locate().len(), shown.items().len());
        prop_assert_eq!(shown.render(true).is_empty(), shown.is_empty());
    }
}

#[test]
fn every_example_job_is_accepted_without_a_warning() {
    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut count = 0;
    for entry in
        fs::read_dir(jobs).unwrap().map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "toml"))
    {
        let job = parse_file(&entry).unwrap_or_else(|e| panic!("{e}"));
        assert!(job.warnings.is_empty(), "{}", job.warnings);
        assert!(entry.with_extension("cql").exists(), "{} has no table beside it", entry.display());
        count += 1;
    }
    assert!(count >= 2);
}

fn good(name: &str) -> JobFile {
    parse_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/good").join(name)).unwrap()
}

#[test]
fn what_is_left_out_has_its_default() {
    let spec = good("minimal.toml").spec;
    assert_eq!(spec.source.group, "minimal");
    assert_eq!(spec.source.start, Start::Earliest);
    assert_eq!(spec.columns[0].path, ["id"]);
    assert_eq!((spec.tasks.count, spec.tasks.cpus, spec.tasks.mem_bytes), (TaskCount::PerPartition, 0.5, 256 << 20));
    assert_eq!((spec.placement.goal, spec.placement.max_wait_ms), (Tier::Host, 5_000));
}

#[test]
fn what_is_written_is_read() {
    let spec = good("everything.toml").spec;
    assert_eq!(spec.source.start, Start::TimestampMs(1_356_998_400_250));
    let columns: Vec<_> =
        spec.columns.iter().map(|c| format!("{} {} {:?} {}", c.name, c.data_type, c.path, c.required)).collect();
    assert_eq!(columns[0], r#"id bigint ["id"] true"#);
    assert_eq!(columns[1], r#"customer text ["customer", "name"] false"#);
    assert_eq!(columns[2], r#"odd name text ["a.b", "c d"] false"#);
    assert_eq!(
        columns.last().unwrap(),
        r#"address struct<street text, geo struct<lat double, lon double>> ["address"] false"#
    );
    assert_eq!(spec.sink.ttl, Some(Ttl::Column("ttl_secs".into())));
    assert_eq!(spec.sink.columns["offset_in_log"], "_offset");
    assert_eq!(spec.tasks.mem_bytes, 3 << 29);
    assert_eq!(spec.placement.max_wait_ms, 90_000);
    let constraints: Vec<_> = spec.placement.constraints.iter().map(|c| c.to_string()).collect();
    assert_eq!(
        constraints,
        [
            "rack in [r1, r2]",
            "gpu not exists",
            "hostname != \"bad host\"",
            "disk = ssd",
            "os exists",
            "zone not in [a, b]"
        ]
    );

    let inline = good("inline.toml").spec;
    assert_eq!(inline.source.start, Start::TimestampMs(1_356_994_800_000));
    assert_eq!(inline.sink.ttl, Some(Ttl::Secs(2_592_000)));
}

#[test]
fn warnings_do_not_refuse_a_job() {
    let job = good("weak-consistency.toml");
    let warned: Vec<_> = job.warnings.items().iter().map(|w| (w.severity, &job.text()[w.span.clone()])).collect();
    assert_eq!(warned, [(Severity::Warning, "\"one\""), (Severity::Warning, "max_wait")]);
    assert!(!job.warnings.has_errors());
}

#[test]
fn later_errors_point_into_the_file() {
    let job = good("everything.toml");
    let text = job.text().to_owned();
    let marked = |path: &str| &text[job.span(path).unwrap()];
    assert_eq!(marked("sink.cassandra.table"), "\"orders\"");
    assert_eq!(marked("source.kafka.options.fetch.min.bytes"), "1");
    assert_eq!(marked("placement.constraints.1"), "\"gpu not exists\"");
    assert_eq!(marked("source.kafka"), "[source.kafka]");
    assert_eq!(&text[job.key_span("sink.cassandra.columns.offset_in_log").unwrap()], "offset_in_log");
    assert_eq!(job.span("sink.cassandra.nothing"), None);

    let sql = &job.spec.transform.sql;
    let at = sql.find("price2").unwrap();
    let error = job.sql_error("no such column", Some("try another".into()), Some(at..at + 6));
    assert_eq!(&text[error.span.clone()], "price2");
    let missing = job.error_at("sink.cassandra.columns.other", "no such column", None);
    assert_eq!(&text[missing.span.clone()], "[sink.cassandra.columns]");

    let located: Vec<Located> = job.diagnostics(vec![missing, error]).locate();
    assert_eq!((located[0].start.line, located[0].start.column), (41, 35));
    assert!(located[0].rendered.contains("everything.toml:41:35"), "{}", located[0].rendered);
    assert_eq!(serde_json::from_str::<Vec<Located>>(&serde_json::to_string(&located).unwrap()).unwrap(), located);
}
