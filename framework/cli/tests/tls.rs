//! A scheduler behind TLS, asked by the command line.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

fn millstream() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    for name in ["MILLSTREAM_TOKEN", "MILLSTREAM_TOKEN_FILE", "MILLSTREAM_SCHEDULER", "MILLSTREAM_CA"] {
        command.env_remove(name);
    }
    command
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

fn certificate(dir: &Path, name: &str) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    fs::write(dir.join(format!("{name}.pem")), made.cert.pem()).expect("written");
    fs::write(dir.join(format!("{name}.key")), made.signing_key.serialize_pem()).expect("written");
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_command_line_believes_one_authority_and_sends_its_token_by_tls() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = |name: &str| dir.path().join(name);
    certificate(dir.path(), "own");
    certificate(dir.path(), "other");
    let port = free_port();
    let mut local = millstream();
    local.args(["local", "--agents", "1", "--executor", "/bin/false", "--port", &free_port().to_string()]);
    local.args(["--agent-port", &free_port().to_string(), "--listen", &format!("127.0.0.1:{port}")]);
    local.arg("--state").arg(file("state")).arg("--cert").arg(file("own.pem")).arg("--key").arg(file("own.key"));
    local.env("MILLSTREAM_TOKEN_FILE", file("token")).stdout(Stdio::null()).stderr(Stdio::null());
    let _running = Running(local.spawn().expect("it starts"));

    let jobs = |scheme: &str, ca: &str, token: Option<&str>| {
        let mut jobs = millstream();
        jobs.args(["jobs", "--scheduler", &format!("{scheme}://127.0.0.1:{port}"), "--scheduler-ca"]).arg(file(ca));
        match token {
            Some(token) => jobs.env("MILLSTREAM_TOKEN", token),
            None => jobs.env("MILLSTREAM_TOKEN_FILE", file("token")),
        };
        jobs.output().expect("it runs")
    };
    let began = Instant::now();
    loop {
        let answer = jobs("https", "own.pem", None);
        if answer.status.success() {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{}", said(&answer));
        std::thread::sleep(Duration::from_millis(200));
    }
    for (answer, part) in [
        (jobs("https", "other.pem", None), "certificate"),
        (jobs("http", "own.pem", None), "127.0.0.1"),
        (jobs("https", "own.pem", Some("mst_wrong")), "asks for a token"),
        (jobs("https", "own.key", None), "holds no certificate"),
        (jobs("https", "nowhere.pem", None), "cannot be read"),
    ] {
        let text = said(&answer);
        assert!(!answer.status.success() && text.contains(part) && !text.contains("mst_"), "{part}: {text}");
    }
}
