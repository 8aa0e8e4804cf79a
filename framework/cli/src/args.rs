//! What can be typed.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use millstream_daemon::access::Role;

/// Where the scheduler's API is when nobody says otherwise.
pub(crate) const DEFAULT_SCHEDULER: &str = "http://127.0.0.1:7070";

/// Kafka → SQL on Arrow → Cassandra, as a Mesos framework: every task where its bytes are
#[derive(Debug, Parser)]
#[command(name = "millstream", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 refused or failed, 2 wrong usage.\nMILLSTREAM_TOKEN, or the file that MILLSTREAM_TOKEN_FILE names, holds the token that schedulers are sent."
)]
pub(crate) struct Cli {
    /// Print JSON for programs instead of text for people; servers log JSON
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check job files: offline, or with --live against the topic and the table too
    Validate(Validate),
    /// Show what a job would do here: tasks, hosts, distances, reasons. Changes nothing
    Plan(File),
    /// Hand a job to the scheduler; a job that runs is updated
    Deploy(Deploy),
    /// List the scheduler's jobs
    Jobs(Remote),
    /// Say why a job's tasks are where they are, or why they wait
    Why(Job),
    /// Show how far a job is behind its topic, by partition
    Lag(Job),
    /// Print a job's file as deployed, or as it was before
    Show(Show),
    /// Drain a job: flush, commit, leave
    Stop(Job),
    /// Forget a stopped job
    Delete(Job),
    /// Run the framework scheduler against a Mesos master
    Scheduler(Scheduler),
    /// Run a Mesos master, agents and a scheduler in one process, for a laptop
    Local(Local),
    /// Back up, restore or move what a scheduler remembers
    #[command(subcommand)]
    State(State),
    /// Make a token, with which somebody may ask a scheduler
    Token(Token),
    /// Print the JSON schema of job files, for editors
    Schema,
    /// Print shell completions
    Completions {
        /// The shell to complete for
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// Job files
    #[arg(required = true, value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,

    /// Ask Kafka and Cassandra too: do topic and table exist, do the columns fit
    #[arg(long)]
    pub(crate) live: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Remote {
    /// The scheduler's API; of several, separated by commas, the first that answers
    #[arg(long, value_name = "URL", env = "MILLSTREAM_SCHEDULER", hide_env_values = true, default_value = DEFAULT_SCHEDULER, value_hint = ValueHint::Url)]
    pub(crate) scheduler: String,

    /// PEM file of the authorities that sign the scheduler's certificate [default: the system's]
    #[arg(long, value_name = "FILE", env = "MILLSTREAM_CA", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub(crate) scheduler_ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Token {
    /// Whose it is; for the audit log
    pub(crate) name: String,

    /// What it is good for: to look, to plan and deploy and stop too, or to delete as well
    #[arg(long, value_parser = role)]
    pub(crate) role: Role,

    /// Which jobs it is good for; * stands for any characters [default: all]
    #[arg(long, value_name = "PATTERN")]
    pub(crate) jobs: Vec<String>,

    /// File of tokens to add it to; it is printed otherwise
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum State {
    /// Write all a scheduler remembers to a file: of one that runs, or with --state or --config of
    /// one that is stopped
    Backup(Backup),
    /// Put a backup into the place of a stopped scheduler's state: all of it, or nothing
    Restore(Restore),
    /// Move a stopped scheduler's state to another place, which alone counts from then on
    Move(Move),
}

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file to write
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Write over a file that is there
    #[arg(long)]
    pub(crate) force: bool,

    /// The state of a stopped scheduler: a folder, or zk://HOST:PORT,HOST:PORT/millstream
    #[arg(long, value_name = "PLACE", value_hint = ValueHint::DirPath)]
    pub(crate) state: Option<String>,

    /// Settings of a stopped scheduler: where its state is, and the login at ZooKeeper
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Replace a state that is there
    #[arg(long)]
    pub(crate) force: bool,

    /// Where it goes: a folder, or zk://HOST:PORT,HOST:PORT/millstream
    #[arg(long, value_name = "PLACE", value_hint = ValueHint::DirPath, required_unless_present = "config")]
    pub(crate) state: Option<String>,

    /// Settings of the scheduler: where its state is, and the login at ZooKeeper
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Move {
    /// Where the state is: a folder, or zk://HOST:PORT,HOST:PORT/millstream
    #[arg(long, value_name = "PLACE", value_hint = ValueHint::DirPath)]
    pub(crate) from: String,

    /// Where it goes
    #[arg(long, value_name = "PLACE", value_hint = ValueHint::DirPath)]
    pub(crate) to: String,

    /// Settings of the scheduler, for the login at ZooKeeper
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}

fn role(text: &str) -> Result<Role, String> {
    let found = Role::ALL.iter().find(|(_, word)| *word == text).map(|(role, _)| *role);
    found.ok_or_else(|| "roles are read, operate and admin".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct File {
    /// The job file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    #[command(flatten)]
    pub(crate) file: File,

    /// Change a job that runs even if no agent could hold its tasks as now written
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Job {
    /// The job's name
    #[arg(value_parser = job_name)]
    pub(crate) job: String,

    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) job: Job,

    /// What was deployed before, or has failed since and was taken back
    #[arg(long)]
    pub(crate) previous: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Scheduler {
    /// Mesos masters, the leader is found among them: HOST:PORT,HOST:PORT (https://HOST:PORT with
    /// --ca), or their ZooKeeper: zk://HOST:PORT,HOST:PORT/mesos [default: 127.0.0.1:5050]
    #[arg(long, value_name = "MASTERS")]
    pub(crate) master: Vec<String>,

    /// PEM file of the authorities that sign the masters' certificates, which https needs; with it,
    /// masters are spoken to by https
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) ca: Option<PathBuf>,

    /// Where jobs and tasks are remembered: a folder, or zk://HOST:PORT,HOST:PORT/millstream, shared
    /// by several schedulers of which one leads [default: millstream-state]
    #[arg(long, value_name = "PLACE", value_hint = ValueHint::DirPath)]
    pub(crate) state: Option<String>,

    /// Settings of the scheduler as TOML; what is given here as an option wins
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) serve: Serve,
}

/// What a scheduler needs, alone or in `local`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Address of the HTTP API, the status page and the metrics [default: 127.0.0.1:7070]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,

    /// The API's URL for other hosts [default: from the address]
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) url: Option<String>,

    /// File of tokens, which `millstream token` writes [default on loopback: the user's own]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) tokens: Option<PathBuf>,

    /// PEM file of the API's certificate, with those that lead to its authority
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) cert: Option<PathBuf>,

    /// PEM file of the certificate's private key
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,

    /// Mesos role [default: millstream]
    #[arg(long)]
    pub(crate) role: Option<String>,

    /// User that executors run as [default: the user of this process]
    #[arg(long)]
    pub(crate) user: Option<String>,

    /// Path of millstream-executor on the agents [default: beside this program]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) executor: Option<PathBuf>,

    /// Let agents fetch the executor from this scheduler, checked by its SHA-256
    #[arg(long)]
    pub(crate) serve_executor: bool,

    /// What is logged: error, warn, info, debug or trace, or a list as in warn,millstream_mesos=debug;
    /// MILLSTREAM_LOG wins [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Local {
    /// Number of agents; agent I has the address 127.0.1.I
    #[arg(long, default_value_t = 3)]
    pub(crate) agents: usize,

    /// The master's port
    #[arg(long, default_value_t = 5050)]
    pub(crate) port: u16,

    /// Every agent's port
    #[arg(long, value_name = "PORT", default_value_t = 5051)]
    pub(crate) agent_port: u16,

    /// Only master and agents: for a scheduler of your own
    #[arg(long)]
    pub(crate) no_scheduler: bool,

    /// Resources of each agent, mem and disk in MiB
    #[arg(long, value_name = "TEXT", default_value = "cpus:4;mem:4096;disk:10240;ports:[31000-31099]")]
    pub(crate) resources: String,

    /// Attributes of each agent: %d is its number, %r its rack (1 to 3 in turn)
    #[arg(long, value_name = "TEXT", default_value = "rack:r%r;broker:%d")]
    pub(crate) attributes: String,

    /// Folder of sandboxes, jobs and tasks [default: millstream-local]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state: Option<String>,

    #[command(flatten)]
    pub(crate) serve: Serve,
}

/// What cannot be a job's name cannot be a part of a URL either.
fn job_name(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits { Ok(text.to_owned()) } else { Err("job names have only a-z, 0-9 and -".to_owned()) }
}
