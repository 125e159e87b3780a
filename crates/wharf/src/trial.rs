//! `wharf sim`: an operator tries a cluster and changes to it on the real decisions, in virtual time.
//! Nothing is started and nothing is asked of any server.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use sim::fleet::Machine;
use sim::trial::{self, Change, Outcome, Trial, Wanted};

/// Tries a cluster and changes to it, in virtual time, on the decisions that a server would make
#[derive(Debug, Args)]
#[command(
    after_help = "A service is NAME:COUNT:CPU:MEMORY[:OPTION,…]. Options: image=NAME, port=N, host-port=N,\nchecked (has a health check), min=PERCENT, max=PERCENT, breaker (with rollback), distinct,\nbinpack-cpu, binpack-memory, spread-instance, random.\n\nChanges, each made once the cluster has settled: update NAME [image=IMAGE],\nscale NAME COUNT, delete NAME, lose COUNT, lose zone LETTER, drain COUNT,\ndrain zone LETTER, add COUNT, crash (of the server), wait SECONDS.\n\nImages: good, missing (cannot be pulled), exit-MILLIS-CODE (ends), sick-MILLIS (its health\nchecks fail), slow-MILLIS (starts late).\n\nExamples:\n  wharf sim --service web:200:256:512:breaker --change 'update web image=exit-700-1'\n  wharf sim --service web:40:256:512:min=50,max=100 --change 'update web' --lose 2\n  wharf sim --instances 9 --service web:30:512:1024 --change 'lose zone a'\n  wharf sim --instances 4 --service edge:4:128:128:host-port=80 --change 'update edge'"
)]
pub(crate) struct SimArgs {
    /// How many container instances there are
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    instances: u32,
    /// CPU units of each
    #[arg(long, default_value_t = 4096, value_name = "UNITS")]
    cpu: u32,
    /// Memory of each
    #[arg(long, default_value_t = 8192, value_name = "MIB")]
    memory: u32,
    /// Over how many availability zones they are spread
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    zones: u32,
    /// A service: NAME:COUNT:CPU:MEMORY[:OPTION,…]; may be repeated
    #[arg(long = "service", required = true, value_name = "SERVICE")]
    services: Vec<Wanted>,
    /// A change, made once the cluster has settled; may be repeated
    #[arg(long = "change", value_name = "CHANGE")]
    changes: Vec<Change>,
    /// Machines that are lost at the end: the same as a last --change 'lose COUNT'
    #[arg(long, value_name = "COUNT")]
    lose: Option<usize>,
    /// Minutes that the cluster may take to settle each time
    #[arg(long, default_value_t = 60, value_name = "MINUTES")]
    patience: u64,
    /// From which all chance follows: the same seed gives the same history
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The most instances of a trial.
const MOST_INSTANCES: u32 = 10_000;

/// Plays the trial and prints what happens as it happens.
pub(crate) fn run(args: SimArgs) -> Result<()> {
    if args.instances == 0 || args.instances > MOST_INSTANCES {
        bail!("--instances {}: give from 1 to {MOST_INSTANCES}", args.instances);
    }
    let zones = args.zones.clamp(1, 26);
    let (cpu, memory) = (args.cpu, args.memory);
    let machine = |n| Machine { cpu, memory, gpus: 0, zone: n % zones };
    let changes = args.changes.into_iter().chain(args.lose.map(|count| Change::Lose { count }));
    let trial = Trial {
        machines: (0..args.instances).map(machine).collect(),
        services: args.services,
        changes: changes.collect(),
        patience: Duration::from_secs(args.patience.saturating_mul(60)),
        seed: args.seed,
    };
    println!(
        "{} instances of {cpu} CPU units and {memory} MiB in {zones} zones, seed {}",
        args.instances, args.seed
    );
    let outcome = trial::play(&trial, &mut |line| println!("{line}"));
    print!("{}", told(&outcome));
    match outcome.fault {
        Some(fault) => bail!("what must never happen did, which is a bug of Wharf: {fault}"),
        None => Ok(()),
    }
}

fn told(outcome: &Outcome) -> String {
    let mut text = String::new();
    let minutes = outcome.took.as_secs() / 60;
    let seconds = outcome.took.as_secs() % 60;
    let settled = if outcome.settled { "settled each time" } else { "did not settle each time" };
    let head = ["SERVICE", "DESIRED", "RUNNING", "LOWEST HEALTHY", "STARTED", "INSTANCES", "STATE"];
    let rows = outcome.services.iter().map(|s| {
        [
            s.name.clone(),
            s.desired.to_string(),
            s.running.to_string(),
            s.lowest.map_or("–".to_owned(), |n| n.to_string()),
            s.started.to_string(),
            s.instances.to_string(),
            s.state.clone(),
        ]
    });
    let rows = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    // Writing to a string does not fail.
    _ = writeln!(text, "\nThe cluster {settled}; {minutes} min {seconds} s of virtual time.\n");
    table(&mut text, rows);
    text.push('\n');
    let head = ["ZONE", "INSTANCES", "TAKE TASKS", "TASKS", "CPU RESERVED", "MEMORY RESERVED"];
    let of = |(part, whole): (u64, u64)| {
        format!("{part} of {whole} ({} %)", (100 * part).checked_div(whole).unwrap_or(0))
    };
    let rows = outcome.zones.iter().map(|zone| {
        [
            zone.name.clone(),
            zone.instances.0.to_string(),
            zone.instances.1.to_string(),
            zone.tasks.to_string(),
            of(zone.cpu),
            of(zone.memory),
        ]
    });
    table(&mut text, std::iter::once(head.map(str::to_owned)).chain(rows).collect());
    text
}

/// Rows in columns.
fn table<const N: usize>(text: &mut String, rows: Vec<[String; N]>) {
    let widths: [usize; N] =
        std::array::from_fn(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0));
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
}
