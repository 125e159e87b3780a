//! Lists in pages, as ECR's API has them: at most so many items, and a token for the rest.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::RegistryError;

/// Which part of a list is wanted.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// At most so many items: 1 to 1000, 100 if absent.
    pub max: Option<usize>,
    /// Where the page before ended: its [`Paged::next`].
    pub token: Option<String>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paged<T> {
    /// The items.
    pub items: Vec<T>,
    /// Gets the next part; none at the end.
    pub next: Option<String>,
}

/// Cuts a page out of a list that is sorted by distinct keys.
pub(crate) fn cut<T>(
    sorted: impl Iterator<Item = (String, T)>,
    page: &Page,
) -> Result<Paged<T>, RegistryError> {
    let max = page.max.unwrap_or(100);
    if !(1..=1000).contains(&max) {
        return Err(RegistryError::InvalidParameter(
            "Invalid parameter at 'maxResults' failed to satisfy constraint: 'must be between 1 and 1000'".to_owned(),
        ));
    }
    let after = page.token.as_deref().map(decode).transpose()?;
    let mut rest = sorted.skip_while(|(key, _)| after.as_ref().is_some_and(|after| key <= after));
    let (mut items, mut last) = (Vec::new(), String::new());
    for (key, item) in rest.by_ref().take(max) {
        items.push(item);
        last = key;
    }
    let next = rest.next().map(|_| URL_SAFE_NO_PAD.encode(&last));
    Ok(Paged { items, next })
}

fn decode(token: &str) -> Result<String, RegistryError> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
        RegistryError::InvalidParameter(
            "Invalid parameter at 'nextToken' failed to satisfy constraint: 'must be a token that an earlier call returned'".to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_join_to_the_whole() {
        let all = || ["a", "b", "c", "d", "e"].into_iter().map(|key| (key.to_owned(), key));
        let mut seen = Vec::new();
        let mut page = Page { max: Some(2), token: None };
        loop {
            let paged = cut(all(), &page).unwrap();
            seen.extend(paged.items);
            page.token = paged.next;
            if page.token.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["a", "b", "c", "d", "e"]);
        assert_eq!(cut(all(), &Page { max: Some(5), token: None }).unwrap().next, None);
        for (max, token) in [(Some(0), None), (Some(1001), None), (None, Some("?"))] {
            let page = Page { max, token: token.map(str::to_owned) };
            assert!(matches!(cut(all(), &page), Err(RegistryError::InvalidParameter(_))));
        }
    }
}
