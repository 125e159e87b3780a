//! A balancer whose table is a JSON file, for measuring it without a control plane.
//!
//!     serve TABLE.json [WORKERS]
//!
//! It prints a line for each listener, `listening <id> <address>`, then reads commands from its standard
//! input: `route <rule> <group>` forwards one rule to another group and prints how many microseconds that
//! took in all and on the processor; `usage` prints the counters. It ends with its input.

use std::io::BufRead as _;
use std::sync::Arc;
use std::time::Duration;

use balancer::{Action, Balancer, Config, Table, WeightedGroup};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("usage: serve TABLE.json [WORKERS]")?;
    let workers = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let mut table: Table = serde_json::from_slice(&std::fs::read(file)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (events, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let config = Config { workers, ..Config::default() };
    let balancer =
        Balancer::start(config, shell::SystemClock::shared(), Box::new(shell::OsEntropy), events)?;
    for (id, outcome) in runtime.block_on(balancer.apply(Arc::new(table.clone()))) {
        println!("listening {id} {}", outcome?);
    }
    for line in std::io::stdin().lock().lines() {
        while heard.try_recv().is_ok() {}
        let line = line?;
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["route", rule, group] => {
                table = rerouted(&table, rule, group);
                let (wall, cpu) = (tokio::time::Instant::now(), processor_micros());
                runtime.block_on(balancer.apply(Arc::new(table.clone())));
                println!(
                    "applied {} {}",
                    wall.elapsed().as_micros(),
                    processor_micros().saturating_sub(cpu)
                );
            }
            ["usage"] => println!("{:?}", balancer.usage()),
            _ => println!("unknown command: {line}"),
        }
    }
    runtime.block_on(balancer.shutdown(Duration::from_secs(1)));
    Ok(())
}

/// The table with one rule forwarding elsewhere; all others are shared.
fn rerouted(table: &Table, rule: &str, group: &str) -> Table {
    let mut table = table.clone();
    for listener in &mut table.listeners {
        if let Some(place) = listener.rules.iter().position(|other| other.id.as_str() == rule) {
            let mut changed = (*listener.rules[place]).clone();
            let groups = vec![WeightedGroup { group: group.into(), weight: 1 }];
            changed.action = Action::Forward { groups, stickiness: None };
            Arc::make_mut(listener).rules[place] = Arc::new(changed);
        }
    }
    table
}

/// What this process has used of the processor.
fn processor_micros() -> u64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    u64::try_from(spent.tv_sec).unwrap_or(0) * 1_000_000
        + u64::try_from(spent.tv_nsec / 1000).unwrap_or(0)
}
