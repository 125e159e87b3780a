//! Events of a service that cannot go on: said at once, and then seldom, as ECS does.

use model::{Service, State};
use stdx::Timestamp;

use crate::desk::Desk;
use crate::{timing, words};

/// Says in an event what keeps a service from going on, unless that has been said lately. `what`
/// follows its name. Tells whether it was said.
pub(crate) fn complain(desk: &mut Desk<'_>, service: &Service, what: &str) -> bool {
    let key = &service.key;
    let moved_on = desk.draft(key).is_some_and(|s| s.placement_failed_at.is_none());
    if !moved_on && due(desk.state, service, what) > desk.now {
        return false;
    }
    let now = desk.now;
    if let Some(draft) = desk.draft(key) {
        draft.placement_failed_at = Some(now);
        draft.steady_since = None;
    }
    desk.say(key, what);
    true
}

/// When this may be said of a service: at once if nothing like it was said since it last went on,
/// after a while if something else was said, after hours if the same was.
pub(crate) fn due(state: &State, service: &Service, what: &str) -> Timestamp {
    let Some(said_at) = service.placement_failed_at else { return Timestamp::EPOCH };
    let message = words::about(&service.key.service, what);
    let same = state
        .events(&service.key)
        .find(|event| event.at <= said_at && words::is_complaint(&event.message))
        .is_some_and(|event| event.message == message);
    said_at + if same { timing::SAME_AGAIN } else { timing::OTHER_AGAIN }
}
