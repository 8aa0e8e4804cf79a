//! The unit for systemd: what systemd itself thinks of its walls, and that it says what docs/security.md says.

use std::{fs, io::ErrorKind, path::Path, process::Command};

use millstream_e2e::figure;

/// Exposure as `systemd-analyze security` counts it, in tenths: 0 is none, 100 is all.
const EXPOSURE_MAX: u32 = 20;

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/millstream-scheduler.service");

#[test]
fn little_is_exposed() {
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=true", "--no-pager", &format!("--threshold={EXPOSURE_MAX}"), UNIT]);
    let output = match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return figure("the unit's exposure is not measured: there is no systemd-analyze");
        }
        output => output.expect("started"),
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    figure(said.lines().rfind(|line| line.contains("exposure level")).unwrap_or_default());
}

#[test]
fn it_is_what_the_page_says() {
    let unit = fs::read_to_string(UNIT).expect("the unit");
    for line in
        ["User=millstream", "Restart=on-failure", "ExecReload=/bin/kill -HUP $MAINPID", "StateDirectory=millstream"]
    {
        assert!(unit.lines().any(|there| there == line), "{line}");
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/security.md");
    let page = fs::read_to_string(page).expect("the page");
    let settings = unit.lines().filter(|line| line.contains("/etc/millstream/"));
    for file in settings.filter_map(|line| line.rsplit_once("/etc/millstream/")) {
        assert!(page.contains(file.1), "docs/security.md does not speak of {}", file.1);
    }
    for line in unit.lines().filter(|line| line.starts_with("#LoadCredential=")).take(1) {
        assert!(page.contains(line.trim_start_matches('#')), "{line}");
    }
}
