//! How long attaching and detaching take: `cargo run -p net --release --example attach` as root.
//! Works in a network namespace of its own. Prints the median, the 90th percentile and the maximum
//! of 50, in milliseconds, for a namespace with one published dynamic port: back to back, after
//! 300 ms of idling, and with the namespace prepared ahead.

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use net::{Network, NetworkConfig, PortRequest, Protocol};
use support::Guest;

const ROUNDS: usize = 50;
const PORT: PortRequest =
    PortRequest { container_port: 80, host_port: None, protocol: Protocol::Tcp, host_ip: None };

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn main() {
    support::on_a_host(|| async {
        let state = std::env::temp_dir().join(format!("net-bench-{}", std::process::id()));
        let config = NetworkConfig::new(&state);
        let network = Network::open(config.clone()).await.expect("open the network");
        for (name, pause, ahead) in [
            ("back to back", Duration::ZERO, false),
            ("after 300 ms", Duration::from_millis(300), false),
            ("prepared, after 300 ms", Duration::from_millis(300), true),
        ] {
            measure(&network, name, pause, ahead).await;
        }
        drop(network);
        net::teardown(&config).await.expect("tear the network down");
    });
}

async fn measure(network: &Network, name: &str, pause: Duration, ahead: bool) {
    let (mut attach, mut detach) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let guest = Guest::new();
        let id = format!("{name} {round}");
        let prepared = match ahead {
            true => Some(network.prepare(guest.netns()).await.expect("prepare")),
            false => None,
        };
        tokio::time::sleep(pause).await;
        let start = now();
        match prepared {
            Some(prepared) => network.attach_prepared(&id, prepared, &[PORT]).await,
            None => network.attach(&id, guest.netns(), &[PORT]).await,
        }
        .expect("attach");
        attach.push(start.elapsed());
        let start = now();
        network.detach(&id).await.expect("detach");
        detach.push(start.elapsed());
    }
    println!("{name:24} attach {}   detach {}", summary(attach), summary(detach));
}

fn summary(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |index: usize| times[index].as_secs_f64() * 1e3;
    format!("p50 {:.2} p90 {:.2} max {:.2} ms", at(ROUNDS / 2), at(ROUNDS * 9 / 10), at(ROUNDS - 1))
}
