//! `millstream`, the one program a person uses.
//!
//! Map:
//! * `args`: what can be typed; `output`, `failure`, `table`, `printable`: what is printed
//! * `validate`, `job_file`: job files, here and against their topic and table
//! * `ask`, `client`: commands that ask a running scheduler over HTTP; `login`, `token`: who asks
//! * `state`: what a scheduler remembers, backed up, restored, moved
//! * `servers`, `process`, `log`: scheduler and local cluster
//!
//! Exit codes: 0 done, 1 refused or failed, 2 wrong usage.

mod args;
mod ask;
mod client;
mod failure;
mod job_file;
mod log;
mod login;
mod output;
mod printable;
mod process;
mod servers;
mod state;
mod table;
mod token;
mod validate;

use std::{process::ExitCode, time::Duration};

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use failure::Failure;
use output::Output;

/// Longest wait at the end for work that cannot be cancelled.
const END_WITHIN: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    millstream_http::process::harden();
    let cli = Cli::parse();
    let out = Output { json: cli.json };
    match runtime() {
        Ok(runtime) => {
            let code = runtime.block_on(run(cli.command, out));
            // What librdkafka still waits for concerns nobody any more.
            runtime.shutdown_timeout(END_WITHIN);
            code
        }
        Err(error) => {
            let why = format!("the runtime cannot start: {error}");
            out.failure(&Failure::new(why, "is the limit on threads or open files reached?"))
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

async fn run(command: Command, out: Output) -> ExitCode {
    let done = match command {
        Command::Validate(args) => return validate::run(&args, out).await,
        Command::Plan(args) => ask::plan(&args, out).await,
        Command::Deploy(args) => ask::deploy(&args, out).await,
        Command::Jobs(args) => ask::jobs(&args, out).await,
        Command::Why(args) => ask::why(&args, out).await,
        Command::Lag(args) => ask::lag(&args, out).await,
        Command::Show(args) => ask::show(&args, out).await,
        Command::Stop(args) => ask::stop(&args, out).await,
        Command::Delete(args) => ask::delete(&args, out).await,
        Command::Scheduler(args) => servers::scheduler(args, out).await,
        Command::Local(args) => servers::local(args, out).await,
        Command::State(args) => state::run(&args, out).await,
        Command::Token(args) => token::run(&args, out),
        Command::Schema => {
            out.file(&millstream_spec::schema::job_schema());
            Ok(())
        }
        Command::Completions { shell } => {
            let mut script = vec![];
            clap_complete::generate(shell, &mut Cli::command(), "millstream", &mut script);
            out.file(&String::from_utf8_lossy(&script));
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => out.failure(&failure),
    }
}
