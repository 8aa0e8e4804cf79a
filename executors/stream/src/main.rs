//! `millstream-executor`: started by a Mesos agent, or by hand with `standalone`.

use std::process::ExitCode;

use millstream_stream::{executor, standalone};
use tracing_subscriber::EnvFilter;

const USAGE: &str = "\
Usage: millstream-executor
           Runs under a Mesos agent, which sets MESOS_* for it.
       millstream-executor standalone --job FILE --partitions 0-7,9 [--until-caught-up]
           [--generation N] [--mem MIB] [--address ADDR] [--create-blocks-table]
           Runs one task of a job without Mesos and prints its reports as JSON lines.
           FILE is a job file (TOML), or its parsed form (JSON).
Environment: RUST_LOG, default info; logs go to stderr.";

/// What is logged when RUST_LOG does not say. Of the driver not what it says again with every request: that a keyspace has
/// `SimpleStrategy`, and a server's warnings on single writes.
const LOG: &str = "info,scylla=warn,scylla::policies::load_balancing=error,scylla::network::connection=error";

/// Two threads: one for frames to Cassandra, one for the rest. The pump has its own.
const RUNTIME_THREADS: usize = 2;

fn main() -> ExitCode {
    millstream_http::process::harden();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(RUNTIME_THREADS).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let result = match arguments.first().map(String::as_str) {
        None => runtime.block_on(executor::run()),
        Some("standalone") => match standalone::Options::parse(&arguments[1..]) {
            Ok(options) => runtime.block_on(standalone::run(options)),
            Err(error) => {
                eprintln!("error: {error}\n\n{USAGE}");
                return ExitCode::from(2);
            }
        },
        Some("--help" | "-h" | "help") => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some("--version" | "-V") => {
            println!("millstream-executor {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!("error: unknown argument `{other}`\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // Threads that still ask an unreachable broker must not hold up the exit.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    tracing::error!("{error:#}");
    ExitCode::FAILURE
}
