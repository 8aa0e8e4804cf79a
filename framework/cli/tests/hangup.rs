//! SIGHUP to a scheduler: what is read again, what stays, and where it is said.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

struct Scheduler {
    process: Child,
    dir: TempDir,
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.signal(Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

impl Scheduler {
    fn start(level: &str, variable: Option<&str>) -> Scheduler {
        let dir = tempfile::tempdir().expect("a folder");
        set(dir.path(), level);
        let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
        command.args(["scheduler", "--master", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--user", "root"]);
        command.args(["--executor", "/bin/true", "--config"]).arg(dir.path().join("settings.toml"));
        command.arg("--state").arg(dir.path().join("state"));
        command.env("MILLSTREAM_TOKEN_FILE", dir.path().join("token")).env_remove("MILLSTREAM_LOG");
        command.envs(variable.map(|level| ("MILLSTREAM_LOG", level)));
        let log = fs::File::create(dir.path().join("log")).expect("a file");
        let process = command.stdout(Stdio::null()).stderr(log).spawn().expect("it starts");
        let scheduler = Scheduler { process, dir };
        until("it listens", || scheduler.file("token").exists() && scheduler.file("state/audit.jsonl").exists());
        // The handler is set a moment later.
        std::thread::sleep(Duration::from_millis(500));
        scheduler
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.file("log")).expect("there")
    }

    fn audit(&self) -> String {
        fs::read_to_string(self.file("state/audit.jsonl")).expect("there")
    }

    fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.process.id().cast_signed()), signal);
    }

    /// SIGHUP, and what the audit log has after so many of them.
    fn hang_up(&self, times: usize) -> String {
        self.signal(Signal::SIGHUP);
        until("it is written down", || self.audit().matches("\"what\":\"tokens\"").count() == times);
        // What belongs to it follows at once.
        std::thread::sleep(Duration::from_millis(300));
        self.audit()
    }
}

fn set(dir: &Path, level: &str) {
    fs::write(dir.join("settings.toml"), format!("[log]\nlevel = \"{level}\"\n")).expect("written");
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_level_of_the_log_is_read_again_and_a_wrong_one_is_said() {
    let scheduler = Scheduler::start("warn", None);
    assert!(!scheduler.log().contains("INFO"), "{}", scheduler.log());
    let audit = scheduler.hang_up(1);
    assert!(!audit.contains("log level"), "nothing is new: {audit}");

    set(scheduler.dir.path(), "info");
    let audit = scheduler.hang_up(2);
    assert!(audit.contains("\"event\":\"reload\",\"what\":\"log level: info\",\"error\":null"), "{audit}");
    until("it is said", || scheduler.log().contains("INFO") && scheduler.log().contains("log level: info"));

    for (wrong, part) in [("inof", "inof"), ("info\"\nlevels = \"x", "levels")] {
        set(scheduler.dir.path(), wrong);
        let times = scheduler.audit().matches("\"what\":\"tokens\"").count() + 1;
        let audit = scheduler.hang_up(times);
        let last = audit.lines().last().expect("a line");
        assert!(last.contains("\"what\":\"log level\"") && last.contains(part), "{last}");
        assert!(scheduler.log().contains("it stays as it was"), "{}", scheduler.log());
    }
}

#[test]
fn what_the_variable_says_stays_until_the_settings_say_something_new() {
    let scheduler = Scheduler::start("warn", Some("info"));
    assert!(scheduler.log().contains("INFO"));
    scheduler.hang_up(1);
    assert!(scheduler.log().contains("read again"), "still informed: {}", scheduler.log());
    set(scheduler.dir.path(), "error");
    let audit = scheduler.hang_up(2);
    assert!(audit.contains("log level: error"), "{audit}");
}
