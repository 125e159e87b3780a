//! What logs tell of a client's connection, whatever becomes of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use stdx::Timestamp;
use tokio::time::Instant;

use crate::account::{ConnContext, TlsFacts};
use crate::state::Plan;
use crate::tunnel::Passed;
use crate::worker::Worker;
use crate::{ConnectionEntry, FlowEntry, LogEntry, TlsAgreed};

/// Tells the connection log of an application load balancer that a connection stands, or that its
/// handshake failed. `handshake` is how long that took.
pub(crate) fn tell(conn: &ConnContext, plan: &Plan, handshake: Option<Duration>) {
    let balancer = &plan.listener.balancer;
    let log = conn.worker.common.log.as_ref().filter(|_| balancer.connection_log);
    let Some(log) = log else { return };
    log.put(LogEntry::Connection(Box::new(ConnectionEntry {
        balancer: balancer.id.clone(),
        time: conn.worker.now(),
        client: conn.client,
        port: conn.listener.port,
        handshake,
        secure: plan.tls.is_some(),
        tls: conn.tls.as_ref().map(TlsFacts::agreed),
        connection: conn.number,
    })));
}

/// A connection by TLS to a network load balancer, which is logged when it is over.
#[derive(Debug)]
pub(crate) struct FlowLog {
    worker: Arc<Worker>,
    plan: Arc<Plan>,
    client: SocketAddr,
    destination: SocketAddr,
    created: Timestamp,
    begun: Instant,
    handshake: Option<Duration>,
    alert: Option<u8>,
    tls: Option<TlsAgreed>,
    pub(crate) passed: Arc<Passed>,
}

impl FlowLog {
    /// A connection that just came; none if nobody wants to know of it.
    pub(crate) fn begin(
        conn: &ConnContext,
        plan: &Arc<Plan>,
        destination: SocketAddr,
    ) -> Option<Box<Self>> {
        let listener = &plan.listener;
        if listener.protocol.is_http()
            || !listener.balancer.access_log
            || conn.worker.common.log.is_none()
        {
            return None;
        }
        Some(Box::new(Self {
            worker: Arc::clone(&conn.worker),
            plan: Arc::clone(plan),
            client: conn.client,
            destination,
            created: conn.worker.now(),
            begun: Instant::now(),
            handshake: None,
            alert: None,
            tls: None,
            passed: Arc::default(),
        }))
    }

    /// The handshake is over.
    pub(crate) fn secured(&mut self, facts: Option<&TlsFacts>) {
        self.handshake = Some(self.begun.elapsed());
        self.tls = facts.map(TlsFacts::agreed);
    }

    /// The handshake failed.
    pub(crate) fn failed(&mut self, error: &std::io::Error) {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::AlertReceived(alert)) = cause {
            self.alert = Some(u8::from(*alert));
        }
    }
}

impl Drop for FlowLog {
    fn drop(&mut self) {
        let Some(log) = &self.worker.common.log else { return };
        let listener = &self.plan.listener;
        log.put(LogEntry::Flow(Box::new(FlowEntry {
            balancer: listener.balancer.id.clone(),
            balancer_name: listener.balancer.name.clone(),
            listener: listener.id.clone(),
            created: self.created,
            time: self.worker.now(),
            client: self.client,
            destination: self.destination,
            lasted: self.begun.elapsed(),
            handshake: self.handshake,
            received_bytes: self.passed.received.load(Ordering::Relaxed),
            sent_bytes: self.passed.sent.load(Ordering::Relaxed),
            alert: self.alert,
            tls: self.tls.take(),
        })));
    }
}
