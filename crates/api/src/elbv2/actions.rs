//! Actions of listeners and rules, read and shown.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_Action.html>

use std::time::Duration;

use aws::Error;
use aws::elbv2 as wire;
use aws::elbv2::{ActionTypeEnum as Kind, ErrorKind};
use model::{Action, Forward, Realm, Redirect, Weighted};

use super::errors::{configuration, invalid, not_built};
use super::refer;

/// The most target groups of an action.
pub(super) const MOST_GROUPS: usize = 5;
/// The most bytes of a fixed answer.
const MOST_BODY: usize = 1024;
/// The types of content that a fixed answer may have.
const CONTENT_TYPES: &[&str] =
    &["text/plain", "text/css", "text/html", "application/javascript", "application/json"];

/// Reads the actions of a listener or a rule: exactly one, since what may stand before it
/// (authentication, the check of tokens) is not built.
pub(super) fn read(realm: &Realm, given: Option<&Vec<wire::Action>>) -> Result<Action, Error> {
    let given = given.map(Vec::as_slice).unwrap_or_default();
    for action in given {
        if let Some(Kind::AuthenticateCognito | Kind::AuthenticateOidc | Kind::JwtValidation) =
            action.r#type
        {
            let kind = action.r#type.as_ref().map_or("", Kind::as_str);
            return Err(ErrorKind::InvalidLoadBalancerActionException.with(format!(
                "Actions: '{kind}' is not built yet in Wharf, and nothing was done; authenticate in \
                 the service, or by a proxy before it."
            )));
        }
    }
    let [action] = given else {
        return Err(invalid(format!(
            "There are {} actions; there must be exactly one of forward, redirect and fixed-response",
            given.len()
        )));
    };
    if let Some(order) = action.order.filter(|order| !(1..=50_000).contains(order)) {
        return Err(invalid(format!("Action order '{order}' must be between 1 and 50000")));
    }
    match action.r#type.as_ref() {
        Some(Kind::Forward) => forward(realm, action).map(Action::Forward),
        Some(Kind::Redirect) => redirect(action.redirect_config.as_ref()).map(Action::Redirect),
        Some(Kind::FixedResponse) => fixed(action.fixed_response_config.as_ref()),
        _ => Err(invalid("An action must have a type")),
    }
}

fn forward(realm: &Realm, action: &wire::Action) -> Result<Forward, Error> {
    let one = action.target_group_arn.as_ref();
    let several = action.forward_config.as_ref().and_then(|config| config.target_groups.as_ref());
    let mut groups = Vec::new();
    for tuple in several.into_iter().flatten() {
        let group = refer::group(realm, tuple.target_group_arn.as_ref())?;
        let weight = tuple.weight.unwrap_or(1);
        let weight =
            u32::try_from(weight).ok().filter(|weight| *weight <= 999).ok_or_else(|| {
                invalid(format!("Target group weight '{weight}' must be between 0 and 999"))
            })?;
        if groups.iter().any(|there: &Weighted| there.group == group) {
            return Err(invalid(format!(
                "Target group '{}' is given twice in one action",
                realm.group(&group)
            )));
        }
        groups.push(Weighted { group, weight });
    }
    match (one, groups.as_slice()) {
        (None, []) => {
            return Err(invalid("A target group ARN must be specified for a forward action"));
        }
        (Some(_), []) => groups.push(Weighted { group: refer::group(realm, one)?, weight: 1 }),
        (Some(arn), [only]) if realm.group(&only.group) == *arn => {}
        (Some(_), _) => {
            return Err(invalid(
                "You cannot specify both TargetGroupArn and several TargetGroups in ForwardConfig",
            ));
        }
        (None, _) => {}
    }
    if groups.len() > MOST_GROUPS {
        return Err(ErrorKind::TooManyUniqueTargetGroupsPerLoadBalancerException.with(format!(
            "There are {} target groups in the action; there can be {MOST_GROUPS}",
            groups.len()
        )));
    }
    let config = action.forward_config.as_ref();
    let sticky = config.and_then(|config| config.target_group_stickiness_config.as_ref());
    let sticky = sticky.filter(|sticky| sticky.enabled == Some(true)).map(|sticky| {
        let seconds = sticky.duration_seconds.unwrap_or_default();
        let seconds = u64::try_from(seconds).ok().filter(|s| (1..=604_800).contains(s));
        seconds.map(Duration::from_secs).ok_or_else(|| {
            invalid("TargetGroupStickinessConfig: DurationSeconds must be between 1 and 604800")
        })
    });
    Ok(Forward { groups, sticky: sticky.transpose()? })
}

fn redirect(config: Option<&wire::RedirectActionConfig>) -> Result<Redirect, Error> {
    let config = config.ok_or_else(|| invalid("A redirect action must have a RedirectConfig"))?;
    let part = |given: Option<&String>, usual: &str| given.cloned().unwrap_or_else(|| usual.into());
    let redirect = Redirect {
        protocol: part(config.protocol.as_ref(), "#{protocol}"),
        host: part(config.host.as_ref(), "#{host}"),
        port: part(config.port.as_ref(), "#{port}"),
        path: part(config.path.as_ref(), "/#{path}"),
        query: part(config.query.as_ref(), "#{query}"),
        permanent: config.status_code == Some(wire::RedirectActionStatusCodeEnum::Http301),
    };
    if config.status_code.is_none() {
        return Err(invalid("A redirect action must have a StatusCode"));
    }
    if !redirect.path.starts_with('/') {
        return Err(invalid(format!(
            "The redirect's path '{}' must begin with '/'",
            redirect.path
        )));
    }
    let number = redirect.port.parse::<u16>().is_ok_and(|port| port > 0);
    if redirect.port != "#{port}" && !number {
        return Err(invalid(format!(
            "The redirect's port '{}' must be between 1 and 65535, or #{{port}}",
            redirect.port
        )));
    }
    // What keeps everything as it is would be answered forever.
    let same = redirect.protocol == "#{protocol}"
        && redirect.host == "#{host}"
        && redirect.port == "#{port}"
        && redirect.path == "/#{path}";
    if same {
        return Err(ErrorKind::InvalidLoadBalancerActionException.with(
            "The redirect is a loop: it must change at least one of protocol, host, port and path",
        ));
    }
    Ok(redirect)
}

fn fixed(config: Option<&wire::FixedResponseActionConfig>) -> Result<Action, Error> {
    let config =
        config.ok_or_else(|| invalid("A fixed-response action must have a FixedResponseConfig"))?;
    let given = config.status_code.as_deref().unwrap_or_default();
    let code = given.parse::<u16>().ok().filter(|code| matches!(code / 100, 2 | 4 | 5));
    let code = code.ok_or_else(|| {
        invalid(format!("The fixed response's status code '{given}' must be 2XX, 4XX or 5XX"))
    })?;
    if let Some(kind) = config.content_type.as_deref().filter(|kind| !kind.is_empty())
        && !CONTENT_TYPES.contains(&kind)
    {
        return Err(invalid(format!(
            "The fixed response's content type '{kind}' must be one of {}",
            CONTENT_TYPES.join(", ")
        )));
    }
    let body = config.message_body.clone().filter(|body| !body.is_empty());
    if body.as_ref().is_some_and(|body| body.len() > MOST_BODY) {
        return Err(invalid(format!(
            "The fixed response's message body must have at most {MOST_BODY} bytes"
        )));
    }
    let content_type = config.content_type.clone().filter(|kind| !kind.is_empty());
    Ok(Action::Fixed { code, content_type, body })
}

/// An action as answers have it.
pub(super) fn view(realm: &Realm, action: &Action) -> Vec<wire::Action> {
    let shown = match action {
        Action::Forward(forward) => {
            let groups = forward.groups.iter().map(|weighted| wire::TargetGroupTuple {
                target_group_arn: Some(realm.group(&weighted.group)),
                weight: i32::try_from(weighted.weight).ok(),
            });
            let sticky = wire::TargetGroupStickinessConfig {
                enabled: Some(forward.sticky.is_some()),
                duration_seconds: forward
                    .sticky
                    .and_then(|time| i32::try_from(time.as_secs()).ok()),
            };
            let only = match forward.groups.as_slice() {
                [only] => Some(realm.group(&only.group)),
                _ => None,
            };
            wire::Action {
                r#type: Some(Kind::Forward),
                target_group_arn: only,
                forward_config: Some(wire::ForwardActionConfig {
                    target_groups: Some(groups.collect()),
                    target_group_stickiness_config: Some(sticky),
                }),
                ..Default::default()
            }
        }
        Action::Redirect(redirect) => {
            let code = if redirect.permanent { "HTTP_301" } else { "HTTP_302" };
            wire::Action {
                r#type: Some(Kind::Redirect),
                redirect_config: Some(wire::RedirectActionConfig {
                    protocol: Some(redirect.protocol.clone()),
                    host: Some(redirect.host.clone()),
                    port: Some(redirect.port.clone()),
                    path: Some(redirect.path.clone()),
                    query: Some(redirect.query.clone()),
                    status_code: Some(code.into()),
                }),
                ..Default::default()
            }
        }
        Action::Fixed { code, content_type, body } => wire::Action {
            r#type: Some(Kind::FixedResponse),
            fixed_response_config: Some(wire::FixedResponseActionConfig {
                status_code: Some(code.to_string()),
                content_type: content_type.clone(),
                message_body: body.clone(),
            }),
            ..Default::default()
        },
    };
    vec![wire::Action { order: Some(1), ..shown }]
}

/// Refuses mutual TLS, in so far as it is on.
pub(super) fn no_mutual_tls(
    given: Option<&wire::MutualAuthenticationAttributes>,
) -> Result<(), Error> {
    let Some(given) = given else { return Ok(()) };
    not_built(
        "MutualAuthentication.TrustStoreArn",
        given.trust_store_arn.as_ref(),
        "trust stores are",
    )?;
    match given.mode.as_deref() {
        None | Some("off") => Ok(()),
        Some(mode) => Err(configuration(format!(
            "MutualAuthentication: mode '{mode}' is not built yet in Wharf, and nothing was done; \
             clients' certificates are not asked for. Leave it out or say off."
        ))),
    }
}
