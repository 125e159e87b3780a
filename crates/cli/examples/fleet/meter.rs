//! What is measured: how long calls take, and what the server's process uses meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

/// Answers by outcome, and how long each call took from the instant at which it was due.
#[derive(Debug, Default)]
pub(crate) struct Series {
    pub(crate) waits: Vec<Duration>,
    pub(crate) outcomes: BTreeMap<String, u64>,
}

impl Series {
    pub(crate) fn add(&mut self, wait: Duration, outcome: String) {
        self.waits.push(wait);
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    /// Milliseconds that so many per mille of the calls did not exceed.
    pub(crate) fn millis(&mut self, per_mille: usize) -> f64 {
        self.waits.sort_unstable();
        let rank = (self.waits.len() * per_mille).div_ceil(1000).max(1) - 1;
        self.waits.get(rank).map_or(0.0, |wait| wait.as_secs_f64() * 1000.0)
    }

    /// What became of the calls, but those that went well.
    pub(crate) fn trouble(&self) -> String {
        let other = self.outcomes.iter().filter(|(outcome, _)| *outcome != "200");
        let told: Vec<String> = other.map(|(outcome, n)| format!("{n} × {outcome}")).collect();
        told.join(", ")
    }
}

/// What a process has used since it was last asked.
#[derive(Debug)]
pub(crate) struct Process {
    id: Option<u32>,
    cpu: f64,
    at: Instant,
}

impl Process {
    pub(crate) fn new(id: Option<u32>) -> Self {
        let cpu = id.map_or(0.0, cpu_seconds);
        Self { id, cpu, at: now() }
    }

    /// `(processor seconds, seconds)` since the last time.
    pub(crate) fn lap(&mut self) -> (f64, f64) {
        let cpu = self.id.map_or(0.0, cpu_seconds);
        let at = now();
        let lap = (cpu - self.cpu, (at - self.at).as_secs_f64());
        (self.cpu, self.at) = (cpu, at);
        lap
    }

    /// Mebibytes resident, now and at most.
    pub(crate) fn memory(&self) -> String {
        let Some(id) = self.id else { return "memory unknown".to_owned() };
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let line = |name: &str| {
            let found = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = found.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
            kib.unwrap_or(0) >> 10
        };
        format!("server: {} MiB resident, {} at most", line("VmRSS:"), line("VmHWM:"))
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// User and system time of a process; Linux counts hundredths of a second.
fn cpu_seconds(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<f64> = rest.split_whitespace().filter_map(|f| f.parse().ok()).collect();
    // The state, which is a letter, is not among them: utime and stime are the fields 14 and 15.
    match fields[..] {
        [.., _, _] if fields.len() > 12 => (fields[10] + fields[11]) / 100.0,
        _ => 0.0,
    }
}

/// A line of a table, its first column to the left.
pub(crate) fn row(cells: &[&str]) {
    let mut line = String::new();
    for (at, cell) in cells.iter().enumerate() {
        match at {
            0 => line.push_str(&format!("  {cell:<44}")),
            _ => line.push_str(&format!("{cell:>11}")),
        }
    }
    println!("{}", line.trim_end());
}
