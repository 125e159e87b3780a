//! A load on a real server, over its one port: pretended agents with their sockets, and clients with
//! signed calls.
//!
//! `cargo run --release -p cli --example fleet -- PART --data-dir DIR --pid SERVER [--agents N] …` where
//! PART is `join` (agents register and connect), `run` (RunTask of ten at a steady rate), `flood` (as fast
//! as they come), `services` (so many services from nothing), `lost` (a lost machine's tasks are replaced),
//! `reads` (every Describe and List) or `hold` (agents stay until standard input ends).
//!
//! Times are those of the callers; processor time is the server's own.

mod agents;
mod http;
mod load;
mod meter;
mod reads;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use cli::{Connection, Target};
use serde_json::{Value, json};
use tokio::runtime;

use agents::{Fleet, Plan};
use http::{Pool, Server};
use load::{Calls, flood, steady};
use meter::{Process, now, row};

/// CPU units, and MiB, of a task.
const TASK: u32 = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Join,
    Run,
    Flood,
    Services,
    Lost,
    Reads,
    Hold,
}

#[derive(Debug, Parser)]
struct Options {
    part: Part,
    /// The server's data folder.
    #[arg(long)]
    data_dir: PathBuf,
    /// The server's process.
    #[arg(long)]
    pid: Option<u32>,
    #[arg(long, default_value = "default")]
    cluster: String,
    #[arg(long, default_value = "web")]
    family: String,
    /// Pretended agents.
    #[arg(long, default_value_t = 0)]
    agents: u32,
    /// Take over the instances that are there.
    #[arg(long)]
    adopt: bool,
    /// Agents report nothing.
    #[arg(long)]
    silent_agents: bool,
    /// Connections over which agents report.
    #[arg(long, default_value_t = 64)]
    reporters: usize,
    /// Tasks to start, or that all services have together.
    #[arg(long, default_value_t = 10_000)]
    tasks: u32,
    /// Tasks a call.
    #[arg(long, default_value_t = 10)]
    count: u32,
    #[arg(long, default_value_t = 100)]
    services: u32,
    /// Calls a second.
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Callers of a flood.
    #[arg(long, default_value_t = 64)]
    callers: usize,
    /// Machines that are lost.
    #[arg(long, default_value_t = 20)]
    machines: usize,
    /// Only the reading operations whose name has this.
    #[arg(long)]
    only: Option<String>,
    /// RunTask calls a second beside the reading.
    #[arg(long, default_value_t = 0.0)]
    beside: f64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let target = Target { data_dir: Some(options.data_dir.clone()), endpoint_url: None };
    let server = Arc::new(Server::new(Connection::find(&target)?)?);
    // The agents have a thread of their own, so that they do not make the callers wait.
    let field = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let calls = runtime::Builder::new_current_thread().enable_all().build()?;
    let result = calls.block_on(run(&options, &server, field.handle()));
    field.shutdown_background();
    result
}

async fn run(options: &Options, server: &Arc<Server>, field: &runtime::Handle) -> Result<()> {
    let pool = Pool::new(Arc::clone(server));
    let mut process = Process::new(options.pid);
    if options.part == Part::Reads && options.agents == 0 {
        return read(options, &pool, &mut process).await;
    }
    prepare(&pool, options).await?;
    let each = options.tasks / options.agents.max(1) + 40;
    let plan = Plan {
        cluster: options.cluster.clone(),
        agents: options.agents,
        size: each * TASK,
        reporters: options.reporters,
        adopt: options.adopt,
        silent: options.silent_agents,
    };
    let at = Arc::clone(server);
    let fleet = field.spawn(async move { agents::start(&at, plan).await }).await??;
    let (cpu, _) = process.lap();
    println!("  the agents' coming took {cpu:.2} s of the server's processor time");
    match options.part {
        Part::Join => {}
        Part::Run | Part::Flood => tasks(options, &pool, &fleet, &mut process).await?,
        Part::Services => services(options, &pool, &fleet, &mut process).await?,
        Part::Lost => lost(options, &pool, &fleet, &mut process).await?,
        Part::Reads => beside(options, &pool, &mut process).await?,
        Part::Hold => {
            tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()))
                .await??;
        }
    }
    println!("  {:?}", fleet.counts);
    println!("  {}", process.memory());
    Ok(())
}

/// The cluster and the definition, unless they are there.
async fn prepare(pool: &Pool, options: &Options) -> Result<()> {
    pool.ask("CreateCluster", &json!({"clusterName": options.cluster})).await?;
    let body = json!({"taskDefinition": options.family}).to_string();
    if pool.call("DescribeTaskDefinition", body.as_bytes()).await?.status == 200 {
        return Ok(());
    }
    let definition = json!({
        "family": options.family,
        "containerDefinitions": [{
            "name": "app", "image": "fleet/app:1", "cpu": TASK, "memory": TASK, "essential": true,
            "portMappings": [{"containerPort": 80}],
            "environment": [{"name": "STAGE", "value": "fleet"}],
        }],
    });
    pool.ask("RegisterTaskDefinition", &definition).await.map(drop)
}

fn run_task(options: &Options) -> Calls {
    let request = json!({"cluster": options.cluster, "taskDefinition": options.family, "count": options.count});
    let body = request.to_string().into_bytes();
    Calls::new("RunTask", move |_| body.clone())
}

async fn read(options: &Options, pool: &Pool, process: &mut Process) -> Result<()> {
    let place = (options.cluster.as_str(), options.family.as_str());
    let pace = (options.rate, options.seconds);
    reads::run(pool, place, pace, options.only.as_deref(), process).await?;
    println!("  {}", process.memory());
    Ok(())
}

/// Reading beside RunTask.
async fn beside(options: &Options, pool: &Pool, process: &mut Process) -> Result<()> {
    let (calls, writers, rate) = (run_task(options), pool.clone(), options.beside);
    let writing = (rate > 0.0)
        .then(|| tokio::spawn(async move { steady(&writers, &calls, rate, 3600.0).await }));
    let result = read(options, pool, process).await;
    if let Some(writing) = writing {
        writing.abort();
    }
    result
}

async fn tasks(options: &Options, pool: &Pool, fleet: &Fleet, process: &mut Process) -> Result<()> {
    let calls = run_task(options);
    process.lap();
    let begun = now();
    let mut series = match options.part {
        Part::Run => steady(pool, &calls, options.rate, options.seconds).await,
        _ => flood(pool, &calls, options.callers, u64::from(options.tasks / options.count)).await,
    };
    let called = begun.elapsed().as_secs_f64();
    let made = series.outcomes.get("200").copied().unwrap_or(0);
    let tasks = made * u64::from(options.count);
    fleet.until(|counts| &counts.assigned, tasks).await?;
    let assigned = begun.elapsed().as_secs_f64();
    if !options.silent_agents {
        fleet.until(|counts| &counts.running, tasks).await?;
    }
    let running = begun.elapsed().as_secs_f64();
    let (cpu, _) = process.lap();
    row(&["RunTask, milliseconds", "calls/s", "p50", "p99", "p99.9", "most", "cpu/call"]);
    let name = format!("{} calls of {}", series.waits.len(), options.count);
    row(&[
        &name,
        &format!("{:.0}", series.waits.len() as f64 / called),
        &format!("{:.2}", series.millis(500)),
        &format!("{:.2}", series.millis(990)),
        &format!("{:.2}", series.millis(999)),
        &format!("{:.2}", series.millis(1000)),
        &format!("{:.3}", cpu * 1000.0 / (made.max(1)) as f64),
    ]);
    if !series.trouble().is_empty() {
        println!("  other outcomes: {}", series.trouble());
    }
    let per = |seconds: f64| tasks as f64 / seconds;
    println!(
        "  {tasks} tasks: answered in {called:.2} s ({:.0}/s), assigned in {assigned:.2} s ({:.0}/s), \
         reported running in {running:.2} s ({:.0}/s); {:.3} ms of processor a task",
        per(called),
        per(assigned),
        per(running),
        cpu * 1000.0 / tasks.max(1) as f64
    );
    Ok(())
}

/// Creates services of so many tasks in all, and waits until their tasks run.
async fn create(options: &Options, pool: &Pool, fleet: &Fleet) -> Result<u64> {
    let each = (options.tasks / options.services).max(1);
    let count = u64::from(each) * u64::from(options.services);
    let begun = now();
    let (cluster, family) = (options.cluster.clone(), options.family.clone());
    let calls = Calls::new("CreateService", move |number| {
        let request = json!({
            "cluster": cluster, "serviceName": format!("service-{number}"), "taskDefinition": family,
            "desiredCount": each,
        });
        request.to_string().into_bytes()
    });
    let mut series = flood(pool, &calls, 16, u64::from(options.services)).await;
    if !series.trouble().is_empty() {
        bail!("services were not created: {}", series.trouble());
    }
    let created = begun.elapsed().as_secs_f64();
    fleet.until(|counts| &counts.assigned, count).await?;
    let assigned = begun.elapsed().as_secs_f64();
    if !options.silent_agents {
        fleet.until(|counts| &counts.running, count).await?;
    }
    println!(
        "  {} services of {each} tasks: created in {created:.2} s (p99 {:.1} ms), assigned in \
         {assigned:.2} s ({:.0}/s), reported running in {:.2} s",
        options.services,
        series.millis(990),
        count as f64 / assigned,
        begun.elapsed().as_secs_f64()
    );
    Ok(count)
}

async fn services(
    options: &Options,
    pool: &Pool,
    fleet: &Fleet,
    process: &mut Process,
) -> Result<()> {
    process.lap();
    let begun = now();
    let count = create(options, pool, fleet).await?;
    loop {
        let request = json!({"cluster": options.cluster, "services": [format!("service-{}", options.services - 1)]});
        let answer = pool.ask("DescribeServices", &request).await?;
        let deployments = answer["services"][0]["deployments"].as_array().map_or(0, Vec::len);
        let state = answer["services"][0]["deployments"][0]["rolloutState"].clone();
        if deployments == 1 && state == "COMPLETED" {
            break;
        }
        if begun.elapsed() > Duration::from_secs(1800) {
            bail!("the last service is not steady: {state}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (cpu, _) = process.lap();
    println!(
        "  the last service is steady after {:.2} s; {:.3} ms of processor a task",
        begun.elapsed().as_secs_f64(),
        cpu * 1000.0 / count as f64
    );
    Ok(())
}

/// A machine is gone and is deregistered, as whoever watches over machines does.
async fn lost(options: &Options, pool: &Pool, fleet: &Fleet, process: &mut Process) -> Result<()> {
    let mut assigned = create(options, pool, fleet).await?;
    process.lap();
    let mut series = meter::Series::default();
    for arn in fleet.instances.iter().take(options.machines) {
        let request = json!({"cluster": options.cluster, "containerInstances": [arn]});
        let described = pool.ask("DescribeContainerInstances", &request).await?;
        let running = described["containerInstances"][0]["runningTasksCount"].as_u64();
        let running = running.context("an instance tells how many tasks it runs")?;
        let begun = fleet.begun.elapsed();
        let request: Value =
            json!({"cluster": options.cluster, "containerInstance": arn, "force": true});
        pool.ask("DeregisterContainerInstance", &request).await?;
        assigned += running;
        fleet.until(|counts| &counts.assigned, assigned).await?;
        let last = Duration::from_micros(fleet.counts.last.load(Ordering::Relaxed));
        series.add(last.saturating_sub(begun), "200".to_owned());
    }
    let (cpu, _) = process.lap();
    println!(
        "  lost: call of DeregisterContainerInstance → the last of its tasks is ordered elsewhere: p50 \
         {:.1} ms, most {:.1} ms, of {} machines; {:.1} ms of processor a machine",
        series.millis(500),
        series.millis(1000),
        series.waits.len(),
        cpu * 1000.0 / series.waits.len() as f64
    );
    Ok(())
}
