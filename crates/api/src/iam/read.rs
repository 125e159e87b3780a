//! What IAM's requests have in common: documents, tags, pages, paths and ARNs of policies.

use std::sync::Arc;

use auth::policy::managed::{self, Managed};
use auth::policy::{Document, Kind};
use aws::Error;
use aws::iam::{ErrorKind, Tag};
use model::{ManagedPolicy, PolicyName, State, Tags};

use super::errors::{invalid, malformed, missing};
use crate::identity::own_policy;
use crate::page::{Order, Page};

/// The most characters, white space aside, of a trust policy.
const LONGEST_TRUST: usize = 2048;
/// The most characters, white space aside, of a managed policy.
const LONGEST_MANAGED: usize = 6144;

/// A document that is to be stored, checked.
fn document(given: Option<&String>, kind: Kind) -> Result<&str, Error> {
    let text = given.map(String::as_str).unwrap_or_default();
    Document::parse(text, kind).map_err(|error| malformed(&error))?;
    Ok(text)
}

fn fits(text: &str, quota: &str, most: usize) -> Result<Arc<str>, Error> {
    if text.chars().filter(|letter| !letter.is_whitespace()).count() > most {
        return Err(ErrorKind::LimitExceededException
            .with(format!("Cannot exceed quota for {quota}: {most}")));
    }
    Ok(Arc::from(text))
}

/// A trust policy.
pub(super) fn trust(given: Option<&String>) -> Result<Arc<str>, Error> {
    fits(document(given, Kind::Trust)?, "ACLSizePerRole", LONGEST_TRUST)
}

/// A managed policy's document.
pub(super) fn managed_document(given: Option<&String>) -> Result<Arc<str>, Error> {
    fits(document(given, Kind::Identity)?, "PolicySize", LONGEST_MANAGED)
}

/// A role's own policy; how long all of them may be is for the decision, which knows the others.
pub(super) fn inline_document(given: Option<&String>) -> Result<Arc<str>, Error> {
    document(given, Kind::Identity).map(Arc::from)
}

/// Tags; a key may stand there once.
pub(super) fn tags(given: Option<&Vec<Tag>>) -> Result<Tags, Error> {
    let mut tags = Tags::default();
    for tag in given.into_iter().flatten() {
        let key = tag.key.clone().unwrap_or_default();
        if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            return Err(ErrorKind::InvalidInputException.with(
                "Tag keys can't begin with aws:, which is reserved. Choose another prefix.",
            ));
        }
        let value = tag.value.clone().unwrap_or_default();
        if tags.0.insert(key, value).is_some() {
            return Err(ErrorKind::InvalidInputException.with(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ));
        }
    }
    Ok(tags)
}

/// A path, `/` unless given.
pub(super) fn path(given: Option<&String>) -> Result<String, Error> {
    let path = given.map_or("/", String::as_str);
    if path.starts_with('/') && path.ends_with('/') {
        return Ok(path.to_owned());
    }
    Err(invalid(format!(
        "The specified value for path is invalid. It must begin and end with / and contain only \
         alphanumeric characters and/or / characters: {path}"
    )))
}

/// One page, and the marker of the next.
pub(super) fn page<T>(
    operation: &'static str,
    marker: Option<&String>,
    max_items: Option<i32>,
    entries: Vec<(String, T)>,
) -> Result<(Vec<T>, Option<String>), Error> {
    let token = marker.map(String::as_str);
    let page = Page { operation, token, max_results: max_items, usual: 100, most: 1000, query: 0 };
    page.cut(entries, Order::Ascending).map_err(|_| match marker {
        Some(marker) => invalid(format!("Invalid Marker: {marker}")),
        None => invalid("MaxItems must be between 1 and 1000."),
    })
}

/// A managed policy that an ARN names.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'s> {
    /// AWS's.
    Aws(&'static Managed),
    /// This account's.
    Own(&'s ManagedPolicy),
}

/// The managed policy that an ARN names.
pub(super) fn policy<'s>(state: &'s State, arn: Option<&String>) -> Result<Found<'s>, Error> {
    let arn = arn.map(String::as_str).unwrap_or_default();
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    if !matches!(parts[..], ["arn", _, "iam", "", _, rest] if rest.starts_with("policy/")) {
        return Err(invalid(format!("ARN {arn} is not valid.")));
    }
    if let Some(built_in) = managed::find(arn) {
        return Ok(Found::Aws(built_in));
    }
    let own = own_policy(state, arn).map(Found::Own);
    own.ok_or_else(|| missing(format!("Policy {arn} was not found.")))
}

/// The policy of this account that an ARN names, for those who would change it.
pub(super) fn own(state: &State, arn: Option<&String>) -> Result<PolicyName, Error> {
    match policy(state, arn)? {
        Found::Own(policy) => Ok(policy.name.clone()),
        Found::Aws(_) => Err(Error::new(
            "AccessDenied",
            403,
            format!(
                "Policy {} is AWS's and can not be changed. Create one of your own.",
                arn.map(String::as_str).unwrap_or_default()
            ),
        )),
    }
}

/// The number of a version such as `v3`.
pub(super) fn version(arn: Option<&String>, given: Option<&String>) -> Result<u32, Error> {
    let text = given.map(String::as_str).unwrap_or_default();
    text.strip_prefix('v').and_then(|number| number.parse().ok()).ok_or_else(|| {
        missing(format!(
            "Policy {} version {text} does not exist or is not attachable.",
            arn.map(String::as_str).unwrap_or_default()
        ))
    })
}
