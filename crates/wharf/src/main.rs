//! Wharf: Amazon ECS on your own machines, in one binary.
//!
//! This room only composes: it reads the configuration, checks the machine, puts the other rooms
//! together and turns signals into an orderly end. It decides nothing about clusters.

mod balancer_logs;
mod balancer_usage;
mod balancing;
mod checks;
mod deployments;
mod down;
mod events;
mod measure;
mod mint;
mod node;
mod node_options;
mod nodes;
mod places;
#[cfg(test)]
mod promises;
mod pull;
mod run;
mod scaling;
mod server;
mod settings;
mod trial;
mod ways;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use settings::{Given, LogFormat, Settings};

/// Amazon ECS on your own machines: control plane, scheduler, node, registry and logs in one binary
#[derive(Debug, Parser)]
#[command(name = "wharf", version, max_term_width = 100)]
#[command(
    after_help = "Examples:\n  sudo wharf up                          everything on this machine\n  eval \"$(sudo wharf env)\"               point the AWS CLI and SDKs at it\n  aws ecs list-container-instances       this machine is one of cluster `default`\n  wharf ps                               services and tasks\n  wharf top                              services under load, live\n  wharf logs -f web                      what service `web` prints\n  sudo wharf down                        stop it, tasks too"
)]
struct Arguments {
    /// Settings in a TOML file [default: /etc/wharf/wharf.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "WHARF_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs everything on this machine, which joins the cluster `default`
    Up(UpArgs),
    /// Runs the control plane alone: API, scheduler, registry, logs
    Server(Given),
    /// Runs the node alone: joins this machine to a server's cluster
    Agent(node::AgentArgs),
    /// Stops a data folder's server and every task of it, and leaves nothing behind
    Down(down::DownArgs),
    Pull(pull::PullArgs),
    Env(cli::EnvArgs),
    Ps(cli::PsArgs),
    Top(cli::TopArgs),
    Why(cli::WhyArgs),
    Plan(cli::PlanArgs),
    Logs(cli::LogsArgs),
    Events(cli::EventsArgs),
    Exec(cli::ExecArgs),
    Sim(trial::SimArgs),
}

/// Settings of the server and of its own node.
#[derive(Debug, clap::Args)]
struct UpArgs {
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    node: node_options::NodeOptions,
}

fn main() -> ExitCode {
    // The process that starts containers is this program again. It must not have threads, so nothing
    // comes before this.
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == runtime::ZYGOTE_ARGUMENT) {
        runtime::zygote_main(words);
    }
    let arguments = Arguments::parse();
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let red = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let (on, off) = if red { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
            eprintln!("{on}wharf: {error:#}{off}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<()> {
    let config = arguments.config.as_deref();
    match arguments.command {
        Command::Up(UpArgs { given, node }) => {
            let settings = given.settle(config)?;
            checks::node()?;
            start_logging(&settings)?;
            threads()?.block_on(run::up(settings, node))
        }
        Command::Server(given) => {
            let settings = given.settle(config)?;
            start_logging(&settings)?;
            threads()?.block_on(run::server(settings))
        }
        Command::Agent(args) => {
            checks::node()?;
            log(&args.log, LogFormat::Text)?;
            threads()?.block_on(run::agent(args))
        }
        Command::Down(args) => {
            log("warn", LogFormat::Text)?;
            threads()?.block_on(down::down(&args))
        }
        Command::Pull(args) => threads()?.block_on(async {
            tokio::select! {
                result = pull::pull(&args) => result,
                _ = tokio::signal::ctrl_c() => anyhow::bail!("given up; what came of it is kept"),
            }
        }),
        Command::Env(args) => say(&cli::env(&args)?),
        Command::Ps(args) => say(&threads()?.block_on(cli::ps(&args))?),
        Command::Why(args) => say(&threads()?.block_on(cli::why(&args))?),
        Command::Plan(args) => say(&threads()?.block_on(cli::plan(&args))?),
        Command::Top(args) => threads()?.block_on(cli::top(&args)),
        Command::Sim(args) => trial::run(args),
        Command::Exec(args) => {
            let code = threads()?.block_on(cli::exec(&args))?;
            // Beyond main's own two answers; whatever had to be put back has been.
            std::process::exit(code)
        }
        Command::Events(args) => threads()?.block_on(async {
            let mut out = std::io::stdout();
            tokio::select! {
                result = cli::events(&args, &mut out) => result,
                _ = tokio::signal::ctrl_c() => Ok(()),
            }
        }),
        Command::Logs(args) => threads()?.block_on(async {
            let mut out = std::io::stdout();
            tokio::select! {
                result = cli::logs(&args, &mut out) => result,
                _ = tokio::signal::ctrl_c() => Ok(()),
            }
        }),
    }
}

/// Prints; whoever closed the other end of a pipe has read enough.
fn say(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("print the answer"),
    }
}

fn threads() -> Result<tokio::runtime::Runtime> {
    // There is one TLS implementation in the binary; installing it twice would be harmless.
    drop(rustls::crypto::ring::default_provider().install_default());
    let (cores, _) = checks::machine();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::try_from(cores.clamp(2, 8)).unwrap_or(2))
        .enable_all()
        .build()
        .context("start the threads")
}

fn start_logging(settings: &Settings) -> Result<()> {
    log(&settings.log, settings.log_format)
}

fn log(filter: &str, format: LogFormat) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter).with_context(|| {
        format!("understand the log filter {filter:?}, such as info,agent=debug")
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(())
}
