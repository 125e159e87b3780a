//! A group and a target for a request, with the client's cookies taken into account.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use stdx::Timestamp;

use crate::account::ConnContext;
use crate::choose;
use crate::forward::turn;
use crate::state::{Choice, GroupRuntime, GroupUse, TargetRuntime, View};
use crate::sticky::{self, Digest, Kind};
use crate::{Group, Stickiness};

/// What a request is given to, and which cookies its answer bears.
#[derive(Debug)]
pub(crate) struct Picked {
    pub(crate) group: Arc<GroupRuntime>,
    pub(crate) config: Arc<Group>,
    pub(crate) view: Arc<View>,
    /// The place of the target among those that are eligible.
    pub(crate) place: usize,
    pub(crate) keep_group: Option<Keep>,
}

/// A cookie to be set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    pub(crate) kind: Kind,
    pub(crate) names: &'static [&'static str],
    pub(crate) duration: Duration,
}

impl Picked {
    /// The cookie that keeps the client with its target, given the target's answer.
    pub(crate) fn keep_target(&self, answer: &HeaderMap) -> Option<Keep> {
        match self.config.stickiness.as_ref()? {
            Stickiness::LbCookie { duration } => {
                Some(Keep { kind: Kind::Target, names: &sticky::LB_COOKIES, duration: *duration })
            }
            // It follows the application's cookie.
            Stickiness::AppCookie { name, duration } => sticky::sets_cookie(answer, name)
                .then_some(Keep {
                    kind: Kind::App,
                    names: &[sticky::APP_COOKIE],
                    duration: *duration,
                }),
            Stickiness::SourceIp => None,
        }
    }
}

/// The group and target of a request; none if no target can be given anything.
pub(crate) fn pick(
    conn: &ConnContext,
    groups: &[(GroupUse, u32)],
    stickiness: Option<Duration>,
    headers: &HeaderMap,
    now: Timestamp,
) -> Option<Picked> {
    let group = match (groups, stickiness) {
        ([(only, weight)], _) => (*weight > 0).then(|| Arc::clone(only.group()))?,
        (_, stickiness) => pick_group(conn, groups, stickiness.is_some(), headers, now)?,
    };
    let keep_group = stickiness.map(|duration| Keep {
        kind: Kind::Group,
        names: &sticky::GROUP_COOKIES,
        duration,
    });
    let view = group.view.load_full();
    let config = Arc::clone(view.group.as_ref()?);
    let place = match kept(conn, &config, group.digest, &view.eligible, headers, now) {
        Some(place) => place,
        None => {
            let among = Choice { targets: &view.eligible, slow_start: config.slow_start, now };
            choose::choose(
                config.algorithm,
                &among,
                turn(&group.cells.turn),
                conn.worker.random(),
                None,
            )?
        }
    };
    Some(Picked { group, config, view, place, keep_group })
}

fn pick_group(
    conn: &ConnContext,
    groups: &[(GroupUse, u32)],
    sticky: bool,
    headers: &HeaderMap,
    now: Timestamp,
) -> Option<Arc<GroupRuntime>> {
    let kept = sticky
        .then(|| sticky::cookie(headers, sticky::GROUP_COOKIES[0]))
        .flatten()
        .and_then(|value| conn.worker.common.sealer.open(Kind::Group, value, now))
        .and_then(|ticket| {
            groups
                .iter()
                .find(|(group, weight)| group.group().digest == ticket.group && *weight > 0)
        });
    let chosen = match kept {
        Some(chosen) => chosen,
        None => {
            &groups
                [choose::by_weight(groups.iter().map(|(_, weight)| *weight), conn.worker.random())?]
        }
    };
    Some(Arc::clone(chosen.0.group()))
}

/// The target that the client's cookie or address keeps it with, if that may be given something.
fn kept(
    conn: &ConnContext,
    config: &Group,
    group: Digest,
    eligible: &[Arc<TargetRuntime>],
    headers: &HeaderMap,
    now: Timestamp,
) -> Option<usize> {
    let (kind, name) = match config.stickiness.as_ref()? {
        Stickiness::LbCookie { .. } => (Kind::Target, sticky::LB_COOKIES[0]),
        Stickiness::AppCookie { name, .. } => {
            sticky::cookie(headers, name)?;
            (Kind::App, sticky::APP_COOKIE)
        }
        Stickiness::SourceIp => {
            let address = conn.client.ip().to_canonical().to_string();
            let targets = eligible.iter().map(|target| target.digest.number());
            return choose::by_source(choose::source_hash(address.as_bytes()), targets);
        }
    };
    let ticket = conn.worker.common.sealer.open(kind, sticky::cookie(headers, name)?, now)?;
    if ticket.group != group {
        return None;
    }
    eligible.iter().position(|target| target.digest == ticket.target)
}

/// Another place than the one that failed, if there is one.
pub(crate) fn another(conn: &ConnContext, picked: &Picked, failed: usize) -> usize {
    let among = Choice {
        targets: &picked.view.eligible,
        slow_start: Duration::ZERO,
        now: Timestamp::EPOCH,
    };
    let random = conn.worker.random();
    choose::choose(
        picked.config.algorithm,
        &among,
        turn(&picked.group.cells.turn),
        random,
        Some(failed),
    )
    .unwrap_or(failed)
}
