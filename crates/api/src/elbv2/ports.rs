//! What the door has to know of the machine on which load balancers listen.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws::Error;
use model::{ListenerId, ListenerProtocol, State};
use scheduler::Names;

use super::errors::configuration;
use crate::door::Door;

/// How load balancers are called, and whether their ports are free.
#[derive(Clone, Debug)]
pub struct Balancing {
    /// How load balancers are called by their clients.
    pub names: Names,
    /// The machine's ports.
    pub ports: Arc<dyn Ports>,
}

/// The ports of the machine on which load balancers listen.
pub trait Ports: Send + Sync + fmt::Debug {
    /// Whether a listener could have the port, for connections or for datagrams.
    ///
    /// # Errors
    ///
    /// A sentence that says who has the port, or why it cannot be had, and what to do.
    fn check(&self, port: u16, transport: Transport) -> Result<(), String>;

    /// Why a listener that is there does not listen, if it does not: its port was taken while nobody
    /// was here, or its certificate is missing. It is tried again all the time.
    fn trouble(&self, listener: &ListenerId) -> Option<String>;
}

/// What comes in on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Connections of TCP.
    Tcp,
    /// Datagrams of UDP.
    Udp,
}

/// Every port is free: nobody listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyPort;

impl Ports for AnyPort {
    fn check(&self, _: u16, _: Transport) -> Result<(), String> {
        Ok(())
    }

    fn trouble(&self, _: &ListenerId) -> Option<String> {
        None
    }
}

impl Default for Balancing {
    fn default() -> Self {
        Self { names: Names::Under("localhost".to_owned()), ports: Arc::new(AnyPort) }
    }
}

/// A listener that was just deleted may hold its port for a moment longer.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Refuses a port that somebody else on the machine has.
pub(super) async fn check(
    door: &Door,
    state: &State,
    port: u16,
    protocol: ListenerProtocol,
) -> Result<(), Error> {
    // What other listeners of ours have is for the decision to refuse.
    if state.balancing().all_listeners().any(|listener| listener.port == port) {
        return Ok(());
    }
    for transport in transports(protocol) {
        let mut tries = 0;
        while let Err(why) = door.config().balancing.ports.check(port, *transport) {
            tries += 1;
            if tries >= TRIES {
                return Err(configuration(format!("Port {port} cannot be listened on: {why}")));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

const fn transports(protocol: ListenerProtocol) -> &'static [Transport] {
    match protocol {
        ListenerProtocol::Http
        | ListenerProtocol::Https
        | ListenerProtocol::Tcp
        | ListenerProtocol::Tls => &[Transport::Tcp],
        ListenerProtocol::Udp => &[Transport::Udp],
        ListenerProtocol::TcpUdp => &[Transport::Tcp, Transport::Udp],
    }
}
