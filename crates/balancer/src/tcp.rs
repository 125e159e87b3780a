//! Network load balancers: a flow of bytes goes to one target, whole.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use crate::account::ConnContext;
use crate::choose;
use crate::flow::FlowLog;
use crate::forward::turn;
use crate::state::{Choice, Deed, GroupRuntime, Outstanding, Plan, TargetRuntime, View};
use crate::tunnel::{Tally, relay};
use crate::upstream::{self, CONNECT_TIME, ConnectFailure, Stream};
use crate::usage::bump;
use crate::worker::Worker;
use crate::{Group, GroupProtocol, Stickiness, proxy};

/// How many targets are tried.
const TRIES: usize = 3;

/// A group that a flow may go to.
pub(crate) struct Way {
    pub(crate) group: Arc<GroupRuntime>,
    pub(crate) config: Arc<Group>,
    pub(crate) view: Arc<View>,
}

/// The group of a listener's only action; none if it has none that exists.
pub(crate) fn way(plan: &Plan, random: u64) -> Option<Way> {
    let Deed::Forward { groups, .. } = &*plan.default else { return None };
    let place = choose::by_weight(groups.iter().map(|(_, weight)| *weight), random)?;
    let group = Arc::clone(groups[place].0.group());
    let view = group.view.load_full();
    let config = Arc::clone(view.group.as_ref()?);
    Some(Way { group, config, view })
}

impl Way {
    /// The target for a client; `avoid` is one that just failed.
    pub(crate) fn target(
        &self,
        worker: &Worker,
        client: SocketAddr,
        avoid: Option<usize>,
    ) -> Option<usize> {
        let eligible = &self.view.eligible;
        if self.config.stickiness == Some(Stickiness::SourceIp) && avoid.is_none() {
            let address = client.ip().to_string();
            let targets = eligible.iter().map(|target| target.digest.number());
            return choose::by_source(choose::source_hash(address.as_bytes()), targets);
        }
        let among = Choice { targets: eligible, slow_start: Duration::ZERO, now: worker.now() };
        choose::choose(
            self.config.algorithm,
            &among,
            turn(&self.group.cells.turn),
            worker.random(),
            avoid,
        )
    }
}

/// Passes a client's bytes to a target and back. What is to be logged of it is logged when it is over.
pub(crate) async fn flow<S: AsyncRead + AsyncWrite + Unpin>(
    client: S,
    conn: ConnContext,
    log: Option<Box<FlowLog>>,
) {
    let plan = conn.listener.plan.load_full();
    let Some(way) = way(&plan, conn.worker.random()) else { return };
    let Some((stream, outstanding)) = connect(&conn, &way).await else { return };
    bump(&way.group.cells.requests);
    let link = outstanding.0.link();
    let tally = Tally {
        cells: Some(Arc::clone(&conn.listener.cells)),
        passed: log.as_ref().map(|log| Arc::clone(&log.passed)),
    };
    let relayed = relay(&conn.worker, client, stream, plan.listener.tcp_idle_timeout, tally);
    let ended = conn.state.until_ended();
    let both = async {
        tokio::select! {
            () = relayed => {}
            () = ended => {}
        }
    };
    link.while_whole(both).await;
    drop(log);
}

/// A stream to a target that was told whom it serves.
async fn connect(conn: &ConnContext, way: &Way) -> Option<(Stream, Outstanding)> {
    let tls = (way.config.protocol == GroupProtocol::Tls).then_some(&conn.worker.common.client_tls);
    let mut avoid = None;
    for _ in 0..TRIES {
        let place = way.target(&conn.worker, conn.client, avoid)?;
        let target = &way.view.eligible[place];
        let outstanding = Outstanding::begin(target);
        let header = way.config.proxy_protocol_v2.then(|| {
            let port = SocketAddr::new(target.target.address.ip(), conn.listener.port);
            proxy::header(conn.client, port)
        });
        match open(target, tls, header).await {
            Ok(stream) => return Some((stream, outstanding)),
            Err(failure) => {
                bump(&target.cells.connection_errors);
                bump(&way.group.cells.connection_errors);
                match failure {
                    ConnectFailure::Tls(_) => bump(&conn.listener.cells.target_tls_errors),
                    ConnectFailure::Refused(_) | ConnectFailure::Timeout => {
                        bump(&conn.listener.cells.target_connection_errors);
                    }
                }
                avoid = Some(place);
            }
        }
    }
    None
}

/// Opens a stream. The header of the PROXY protocol comes before TLS does.
async fn open(
    target: &TargetRuntime,
    tls: Option<&crate::tls::ClientTls>,
    header: Option<Vec<u8>>,
) -> Result<Stream, ConnectFailure> {
    let address = target.target.address;
    let Some(header) = header else {
        return upstream::open(address, tls, false, CONNECT_TIME).await;
    };
    let mut stream = upstream::open(address, None, false, CONNECT_TIME).await?;
    stream.write_all(&header).await.map_err(ConnectFailure::Refused)?;
    match (stream, tls) {
        (Stream::Plain(stream), Some(tls)) => {
            upstream::secure(stream, address, tls, false, CONNECT_TIME).await
        }
        (stream, _) => Ok(stream),
    }
}
