//! Filters, ids and dry runs, which every Describe of EC2's has.
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Filter.html>

use aws::Error;
use aws::ec2::Filter;

use crate::page::{Order, Page};

/// Something that is described: what it is, and what filters can ask of it, by their names.
#[derive(Clone, Debug)]
pub(super) struct Described<T> {
    pub(super) id: String,
    pub(super) shown: T,
    pub(super) facts: Vec<(&'static str, String)>,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) dry_run: Option<bool>,
    pub(super) ids: Option<&'a Vec<String>>,
    pub(super) filters: Option<&'a Vec<Filter>>,
    /// The names of filters that there are.
    pub(super) known: &'a [&'a str],
    /// The error for an id that is not there, and what it is an id of.
    pub(super) missing: (&'static str, &'static str),
}

/// `InvalidParameterValue` with a sentence.
pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new("InvalidParameterValue", 400, message)
}

/// Refuses a dry run that would succeed, as EC2 does.
pub(super) fn dry(dry_run: Option<bool>) -> Result<(), Error> {
    if dry_run == Some(true) {
        let message = "Request would have succeeded, but DryRun flag is set.";
        return Err(Error::new("DryRunOperation", 412, message));
    }
    Ok(())
}

/// Those of `all` that are asked for, by id and by every filter.
pub(super) fn choose<T>(
    asked: Asked<'_>,
    all: Vec<Described<T>>,
) -> Result<Vec<Described<T>>, Error> {
    dry(asked.dry_run)?;
    let ids = asked.ids.map(Vec::as_slice).unwrap_or_default();
    if let Some(id) = ids.iter().find(|id| !all.iter().any(|entry| entry.id == **id)) {
        let (code, what) = asked.missing;
        return Err(Error::new(code, 400, format!("The {what} '{id}' does not exist")));
    }
    let filters = asked.filters.map(Vec::as_slice).unwrap_or_default();
    for filter in filters {
        let name = filter.name.as_deref().unwrap_or_default();
        if !asked.known.contains(&name) && name != "tag-key" && !name.starts_with("tag:") {
            return Err(invalid(format!("The filter '{name}' is invalid")));
        }
    }
    let kept = all.into_iter().filter(|entry| {
        (ids.is_empty() || ids.contains(&entry.id)) && filters.iter().all(|f| holds(f, entry))
    });
    Ok(kept.collect())
}

/// Whether any fact of that name is any of the values. Nothing has tags.
fn holds<T>(filter: &Filter, entry: &Described<T>) -> bool {
    let name = filter.name.as_deref().unwrap_or_default();
    let values = filter.values.as_deref().unwrap_or_default();
    entry
        .facts
        .iter()
        .filter(|(fact, _)| *fact == name)
        .any(|(_, given)| values.iter().any(|pattern| like(pattern.as_bytes(), given.as_bytes())))
}

/// `*` stands for any text and `?` for one character.
pub(super) fn like(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            like(rest, text) || text.split_first().is_some_and(|(_, more)| like(pattern, more))
        }
        (Some((b'?', rest)), Some((_, more))) => like(rest, more),
        (Some((wanted, rest)), Some((given, more))) => wanted == given && like(rest, more),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// One page of what was chosen.
pub(super) fn page<T>(
    operation: &'static str,
    token: Option<&String>,
    max_results: Option<i32>,
    chosen: Vec<Described<T>>,
) -> Result<(Vec<T>, Option<String>), Error> {
    let entries = chosen.into_iter().map(|entry| (entry.id, entry.shown)).collect();
    let token = token.map(String::as_str);
    let page = Page { operation, token, max_results, usual: 1000, most: 1000, query: 0 };
    page.cut(entries, Order::Ascending).map_err(|error| invalid(error.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_like_what_they_stand_for() {
        for (pattern, text, fits) in [
            ("vpc-1", "vpc-1", true),
            ("vpc-*", "vpc-1", true),
            ("*", "", true),
            ("*a", "", false),
            ("us-east-1?", "us-east-1a", true),
            ("us-east-1?", "us-east-1", false),
            ("a*b*c", "a--b--c", true),
        ] {
            assert_eq!(like(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
    }
}
