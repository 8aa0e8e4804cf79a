//! `millstream state`

use std::path::Path;

use millstream_daemon::{
    Config, ConfigError, Overrides,
    state::{
        self, Backup, Place,
        backup::{BYTES_MAX, BackupError},
        file,
    },
};
use serde_json::json;

use crate::{args, client::Client, failure::Failure, login::Login, output::Output};

const HELP: &str = "see `millstream state --help`";

/// What is asked of a scheduler that runs.
const PATH: &str = "/api/v1/state";

pub(crate) async fn run(args: &args::State, out: Output) -> Result<(), Failure> {
    match args {
        args::State::Backup(args) => backup(args, out).await,
        args::State::Restore(args) => restore(args, out).await,
        args::State::Move(args) => move_state(args, out).await,
    }
}

async fn backup(args: &args::Backup, out: Output) -> Result<(), Failure> {
    let path = &args.file;
    // Before anybody is asked for anything.
    file::check(path, args.force).map_err(|error| Failure::of(&error))?;
    let (backup, moved_to) = match (&args.state, &args.config) {
        (None, None) => (of_running(&args.remote).await?, None),
        (state, config) => {
            state::backup(&place("--state", state.as_deref(), config.as_deref())?).await.map_err(in_use)?
        }
    };
    let text = backup.encode();
    blocking(|| file::write(path, &text, args.force))?;
    if out.json {
        let Backup { made_ms, from, records, .. } = &backup;
        let framework = state::framework(records);
        out.value(&json!({ "file": path, "from": from, "made_ms": made_ms, "framework": framework, "records": records.len(), "moved_to": moved_to }));
        return Ok(());
    }
    if let Some(to) = moved_to {
        out.note(&format!("warning: this state was moved to {to}: the backup is of what it was before\n"));
    }
    out.text(&format!("{}: {}, from {}\n", path.display(), state::what(&backup.records), backup.from));
    Ok(())
}

/// A backup of what a scheduler that runs has stored.
async fn of_running(remote: &args::Remote) -> Result<Backup, Failure> {
    let client = Client::new(&remote.scheduler, Login::new(remote.scheduler_ca.clone())?)?;
    let text = client.bytes(PATH, usize::try_from(BYTES_MAX).unwrap_or(usize::MAX)).await?;
    blocking(|| Backup::decode("the scheduler's answer", &text[..]))
}

/// Whoever runs can be asked.
fn in_use(error: state::StateError) -> Failure {
    let is_in_use = matches!(&error, state::StateError::Store(error) if error.is_in_use());
    let failure = Failure::of(&error);
    if !is_in_use {
        return failure;
    }
    Failure::new(
        failure.0.error,
        "of a scheduler that runs, ask itself: leave out --state and --config, and say --scheduler URL",
    )
}

async fn restore(args: &args::Restore, out: Output) -> Result<(), Failure> {
    let place = place("--state", args.state.as_deref(), args.config.as_deref())?;
    let backup = blocking(|| file::read(&args.file))?;
    let (what, made_ms, framework) =
        (state::what(&backup.records), backup.made_ms, state::framework(&backup.records).map(str::to_owned));
    let records = backup.records.len();
    let restored = state::restore(&place, backup, args.force).await.map_err(|error| Failure::of(&error))?;
    if out.json {
        out.value(&json!({ "state": place.name(), "made_ms": made_ms, "framework": framework, "records": records, "aside": restored.aside }));
        return Ok(());
    }
    let aside = restored.aside.map(|aside| format!("what was there is kept as {}\n", aside.display()));
    out.text(&format!(
        "{0}: {what}\n{1}start the scheduler with --state {0}, and no other one with this framework; what was deployed since the backup is not known to it\n",
        place.name(),
        aside.unwrap_or_default()
    ));
    Ok(())
}

async fn move_state(args: &args::Move, out: Output) -> Result<(), Failure> {
    let (from, to) = (
        place("--from", Some(&args.from), args.config.as_deref())?,
        place("--to", Some(&args.to), args.config.as_deref())?,
    );
    let moved = state::move_state(&from, &to).await.map_err(|error| Failure::of(&error))?;
    if out.json {
        let framework = state::framework(&moved.records);
        out.value(&json!({ "from": moved.from, "to": moved.to, "framework": framework, "records": moved.records.len(), "changed": !moved.before }));
        return Ok(());
    }
    out.text(&match moved.before {
        true => format!("{}: the state is there already, from {}\n", moved.to, moved.from),
        false => format!(
            "{0}: {1}\nstart the scheduler with --state {0}; {2} keeps the old records, and no scheduler starts there any more\n",
            moved.to,
            state::what(&moved.records),
            moved.from
        ),
    });
    Ok(())
}

/// As settings and the command line's `option` say; what is said nowhere is the folder of a scheduler that was started without both.
fn place(option: &str, state: Option<&str>, config: Option<&Path>) -> Result<Place, Failure> {
    let overrides = Overrides { state: state.map(str::to_owned), ..Overrides::default() };
    let config = Config::load(config, overrides).map_err(|error| match error {
        // As the place of a scheduler's state is called.
        ConfigError::Value { key: "--state", problem } => Failure::new(format!("{option}: {problem}"), HELP),
        error => Failure::of(&error),
    })?;
    let tls = config.zookeeper_tls().map_err(|error| Failure::of(&error))?;
    Place::new(&config.state, tls).map_err(|error| {
        let why = Failure::of(&error).0.error;
        Failure::new(
            format!("the login at ZooKeeper is missing: {why}"),
            "it is `zookeeper_login` in [state] of the file of --config",
        )
    })
}

/// Files and checksums, which nobody else waits for.
fn blocking<T>(work: impl FnOnce() -> Result<T, BackupError>) -> Result<T, Failure> {
    tokio::task::block_in_place(work).map_err(|error| Failure::of(&error))
}
