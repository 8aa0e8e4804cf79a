//! What a person sees: each command's exit code, output and errors, as text beside the test.
//! Regenerate with `UPDATE=1 cargo test --release -p millstream-cli`, and read the difference.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

/// One run of the program: exit code, standard output and standard error as one text.
fn run(folder: &Path, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(args)
        .current_dir(folder)
        .env_remove("MILLSTREAM_SCHEDULER")
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let mut text = format!("$ millstream {}\n", args.join(" "));
    text.push_str(&String::from_utf8(output.stdout).unwrap());
    let stderr = String::from_utf8(output.stderr).unwrap();
    if !stderr.is_empty() {
        text.push_str(&format!("--- stderr\n{stderr}"));
    }
    text + &format!("--- exit {}\n", output.status.code().expect("it ended by itself"))
}

/// Compares with `tests/NAME`, or writes it.
fn check(name: &str, found: &str) {
    let file = Path::new(TESTS).join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, found).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert!(expected == found, "{}\n--- expected\n{expected}\n--- found\n{found}", file.display());
}

fn toml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    files
}

#[test]
fn help() {
    let here = Path::new(TESTS);
    let mut text = run(here, &["--help"]);
    for command in [
        "validate",
        "plan",
        "deploy",
        "jobs",
        "why",
        "lag",
        "show",
        "stop",
        "delete",
        "state",
        "scheduler",
        "local",
        "schema",
        "completions",
    ] {
        text.push_str(&run(here, &[command, "--help"]));
    }
    for command in ["backup", "restore", "move"] {
        text.push_str(&run(here, &["state", command, "--help"]));
    }
    check("cli/help.txt", &text);
}

#[test]
fn wrong_usage_has_exit_code_2() {
    let here = Path::new(TESTS);
    let runs =
        [vec![], vec!["valdate"], vec!["validate"], vec!["why"], vec!["why", "../x"], vec!["jobs", "--scheduler"]];
    let text: String = runs.iter().map(|args| run(here, args)).collect();
    check("cli/usage.txt", &text);
}

#[test]
fn every_bad_file_is_refused_with_exactly_its_text() {
    let folder = Path::new(TESTS).join("bad");
    for file in toml_files(&folder) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let found = run(&folder, &["validate", name]);
        assert!(found.ends_with("--- exit 1\n"), "{name} is accepted:\n{found}");
        check(&format!("bad/{}", Path::new(name).with_extension("txt").display()), &found);
    }
}

#[test]
fn validate() {
    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../jobs");
    let mut text = run(&jobs, &["validate", "flights.toml", "weather.toml"]);
    text.push_str(&run(&jobs, &["validate", "--json", "flights.toml"]));
    text.push_str(&run(
        &jobs,
        &["validate", "flights.toml", "no-such-file.toml", "spec/tests/bad/12-unknown-key.toml"],
    ));
    text.push_str(&run(&jobs, &["validate", "--json", "spec/tests/bad/12-unknown-key.toml"]));
    text.push_str(&run(&jobs, &["validate", "spec/tests/good/weak-consistency.toml"]));
    check("cli/validate.txt", &text);
}

#[test]
fn schema_is_the_committed_one() {
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../jobs/spec");
    let schema = fs::read_to_string(spec.join("job.schema.json")).unwrap();
    assert_eq!(run(&spec, &["schema"]), format!("$ millstream schema\n{schema}--- exit 0\n"));
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let text = run(Path::new(TESTS), &["completions", shell]);
        assert!(text.contains("validate") && text.contains("--scheduler") || text.contains("scheduler"), "{shell}");
        assert!(text.ends_with("--- exit 0\n"), "{shell}");
    }
}

#[test]
fn without_a_scheduler_the_remedy_says_how_to_start_one() {
    // Nothing listens on port 1 of this address.
    let here = Path::new(TESTS);
    let mut text = run(here, &["jobs", "--scheduler", "http://127.0.0.1:1"]);
    text.push_str(&run(here, &["jobs", "--json", "--scheduler", "http://127.0.0.1:1"]));
    text.push_str(&run(here, &["lag", "flights", "--scheduler", "ftp://example.org"]));
    text.push_str(&run(
        here,
        &["deploy", "../../../jobs/spec/tests/bad/12-unknown-key.toml", "--scheduler", "http://127.0.0.1:1"],
    ));
    check("cli/no-scheduler.txt", &text);
}

#[test]
fn servers_refuse_settings_that_cannot_be_meant_so() {
    let here = Path::new(TESTS);
    let runs = [
        vec!["scheduler", "--state", "zk:/z1:2181/millstream"],
        vec!["scheduler", "--state", "zk://z1:2181"],
        vec!["scheduler", "--state", "zk://me:hu/sh@z1:2181/x"],
        vec!["scheduler", "--master", "zk://me:hu/sh@z1:2181/x"],
        vec!["scheduler", "--master", "zk:/z1:2181/mesos"],
        vec!["scheduler", "--master", "https://m1:5050"],
        vec!["scheduler", "--master", "https://m1:5050", "--ca", "nowhere.pem"],
        vec!["local", "--state", "zk://z1:2181/millstream"],
    ];
    let text: String = runs.iter().map(|args| run(here, args)).collect();
    assert!(
        !text.replace("--master zk://me:hu/sh@", "").replace("--state zk://me:hu/sh@", "").contains("hu"),
        "{text}"
    );
    check("cli/servers.txt", &text);
}

#[test]
fn a_state_is_handled_with_care() {
    let here = Path::new(TESTS);
    let backup = "../../daemon/tests/backups/1.jsonl";
    let runs = [
        vec!["state", "restore", backup],
        vec!["state", "move", "--from", "a"],
        vec!["state", "backup", backup, "--state", "nowhere"],
        vec!["state", "backup", "new.jsonl", "--state", "nowhere"],
        vec!["state", "backup", "/dev/null", "--force", "--state", "nowhere"],
        vec!["state", "restore", "cli.rs", "--state", "nowhere"],
        vec!["state", "restore", "/dev/zero", "--state", "nowhere"],
        vec!["state", "restore", "nowhere.jsonl", "--state", "nowhere"],
        vec!["state", "move", "--from", "nowhere", "--to", "elsewhere"],
        vec!["state", "move", "--from", "zk://z1:2181", "--to", "elsewhere"],
    ];
    let text: String = runs.iter().map(|args| run(here, args)).collect();
    let place = fs::canonicalize(here).unwrap().display().to_string();
    check("cli/state.txt", &text.replace(&place, "HERE"));
    assert!(!here.join("nowhere").exists() && !here.join("elsewhere").exists());
}

/// A scheduler that gives the answers of `tests/cli/answers/`, and tells what it was asked.
struct FakeScheduler {
    url: String,
    asked: thread::JoinHandle<String>,
}

impl FakeScheduler {
    /// Answers one request with a status and a body.
    fn answering(status: &str, body: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let status = status.to_owned();
        let asked = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let mut length = 0;
            loop {
                let mut header = String::new();
                reader.read_line(&mut header).unwrap();
                match header.trim().to_ascii_lowercase().split_once(": ") {
                    Some(("content-length", n)) => length = n.parse().unwrap(),
                    Some(_) => {}
                    None => break,
                }
            }
            let mut sent = vec![0; length];
            reader.read_exact(&mut sent).unwrap();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            let sent = if sent.is_empty() { "" } else { ", with a body" };
            format!("{}{sent}", line.trim())
        });
        FakeScheduler { url, asked }
    }
}

/// Runs a command against a fake scheduler; the URL is not part of the text, since its port is not fixed.
fn ask(args: &[&str], status: &str, answer: &str) -> String {
    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../jobs");
    let body = fs::read_to_string(Path::new(TESTS).join("cli/answers").join(answer)).unwrap();
    let fake = FakeScheduler::answering(status, body);
    let text = run(&jobs, &[args, &["--scheduler", &fake.url]].concat());
    format!("{}asked: {}\n\n", text.replace(&fake.url, "http://SCHEDULER"), fake.asked.join().unwrap())
}

#[test]
fn commands_that_ask_the_scheduler() {
    let mut text = ask(&["jobs"], "200 OK", "jobs.json");
    text += &ask(&["jobs", "--json"], "200 OK", "no-jobs.json");
    text += &ask(&["jobs"], "200 OK", "no-jobs.json");
    text += &ask(&["why", "flights"], "200 OK", "why.json");
    text += &ask(&["why", "flights"], "200 OK", "why-volumes.json");
    text += &ask(&["lag", "flights"], "200 OK", "lag.json");
    text += &ask(&["lag", "flights"], "200 OK", "lag-alike.json");
    text += &ask(&["why", "flights"], "200 OK", "why-never.json");
    text += &ask(&["why", "flights"], "200 OK", "why-back.json");
    text += &ask(&["show", "flights"], "200 OK", "job.json");
    text += &ask(&["show", "flights", "--previous"], "200 OK", "job.json");
    text += &ask(&["show", "flights", "--previous"], "200 OK", "job-first.json");
    text += &ask(&["show", "--json", "flights"], "200 OK", "job-first.json");
    text += &ask(&["stop", "flights"], "200 OK", "stopped.json");
    text += &ask(&["delete", "flights"], "204 No Content", "nothing.txt");
    text += &ask(&["delete", "--json", "flights"], "204 No Content", "nothing.txt");
    text += &ask(&["delete", "flights"], "409 Conflict", "not-stopped.json");
    text += &ask(&["deploy", "flights.toml"], "200 OK", "deployed.json");
    text += &ask(&["deploy", "flights.toml"], "200 OK", "changed.json");
    text += &ask(&["plan", "flights.toml"], "200 OK", "plan.json");
    text += &ask(&["plan", "flights.toml"], "200 OK", "plan-unchanged.json");
    text += &ask(&["deploy", "flights.toml"], "200 OK", "deployed-too-large.json");
    text += &ask(&["deploy", "flights.toml"], "422 Unprocessable Entity", "refused-once.json");
    text += &ask(&["deploy", "flights.toml"], "422 Unprocessable Entity", "refused.json");
    text += &ask(&["deploy", "--json", "flights.toml"], "422 Unprocessable Entity", "refused.json");
    text += &ask(&["why", "nothing"], "404 Not Found", "unknown-job.json");
    text += &ask(&["lag", "flights"], "404 Not Found", "foreign.html");
    text += &ask(&["lag", "flights"], "200 OK", "foreign.html");
    text += &ask(&["lag", "flights"], "200 OK", "no-jobs.json");
    check("cli/ask.txt", &text);
}

#[test]
fn the_first_scheduler_that_answers_is_asked_and_a_standby_leads_to_the_leader() {
    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../jobs");
    let answer = |name: &str| fs::read_to_string(Path::new(TESTS).join("cli/answers").join(name)).unwrap();
    let redirect = |to: &str, path: &str| format!("307 Temporary Redirect\r\nlocation: {to}{path}");
    let nobody = "http://127.0.0.1:1";
    let mut text = String::new();

    // One is dead, one stands by: the leader gets the request whole.
    let leader = FakeScheduler::answering("200 OK", answer("deployed.json"));
    let path = "/api/v1/jobs/flights?file=flights.toml";
    let standby = FakeScheduler::answering(&redirect(&leader.url, path), answer("standby.json"));
    let all = format!("{nobody},{}", standby.url);
    text += &run(&jobs, &["deploy", "flights.toml", "--scheduler", &all]).replace(&standby.url, "http://STANDBY");
    text += &format!("asked: {}\n", standby.asked.join().unwrap());
    text += &format!("asked: {}\n\n", leader.asked.join().unwrap());

    // A standby that still names a leader that has died, and one that knows no leader.
    let behind = FakeScheduler::answering(&redirect(nobody, "/api/v1/jobs"), answer("standby.json"));
    let alone = FakeScheduler::answering("503 Service Unavailable", answer("no-leader.json"));
    let all = format!("{},{}", behind.url, alone.url);
    let said = run(&jobs, &["jobs", "--scheduler", &all]);
    text += &said.replace(&behind.url, "http://BEHIND").replace(&alone.url, "http://ALONE");
    text += "\n";

    text += &run(&jobs, &["jobs", "--scheduler", &format!("{nobody},http://127.0.0.2:1")]);
    check("cli/schedulers.txt", &text);
}
