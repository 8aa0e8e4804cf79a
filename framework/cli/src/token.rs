//! `millstream token`

use millstream_daemon::access::{self, JobPattern, Token};
use serde_json::json;

use crate::{args, failure::Failure, output::Output};

/// Makes a token, prints it once, and keeps its hash in the file of tokens.
pub(crate) fn run(args: &args::Token, out: Output) -> Result<(), Failure> {
    let token =
        access::make().map_err(|error| Failure::new(format!("no random bytes: {error}"), "see /dev/urandom"))?;
    let jobs = if args.jobs.is_empty() { vec!["*".to_owned()] } else { args.jobs.clone() };
    let entry = Token {
        name: args.name.clone(),
        sha256: access::hash(&token),
        role: args.role,
        jobs: jobs.into_iter().map(JobPattern::new).collect(),
    };
    if let Some(file) = &args.file {
        access::add(file, &entry).map_err(|error| Failure::of(&error))?;
    }
    if out.json {
        out.value(&json!({ "token": token, "entry": entry }));
        return Ok(());
    }
    let kept = match &args.file {
        Some(file) => {
            format!("its hash is in {}; a scheduler that runs reads the file again at SIGHUP", file.display())
        }
        None => format!("nothing is kept; --file FILE adds its hash, {}, to a file of tokens", entry.sha256),
    };
    out.note(&format!("The token of {}, shown this once ({kept}):\n", args.name));
    out.text(&format!("{token}\n"));
    Ok(())
}
