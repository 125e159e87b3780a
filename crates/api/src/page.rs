//! Pages of lists: `maxResults` and an opaque `nextToken`.
//!
//! A token says after which entry the next page begins, so entries that come or go between two pages
//! neither repeat others nor hide them. And it says of which question it is the answer's: with other
//! filters than those that it was given for it is refused, as ECS refuses it.

use aws::Error;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::errors::invalid;
use crate::fingerprint;

/// Begins every token, so that another kind's is told apart.
const VERSION: &str = "2";

/// Separates the parts of a token.
const SEPARATOR: char = '\u{1f}';

/// Which page of which list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page<'a> {
    /// The list's operation: a token of another is refused.
    pub(crate) operation: &'static str,
    /// As given.
    pub(crate) token: Option<&'a str>,
    /// As given.
    pub(crate) max_results: Option<i32>,
    /// The size of a page unless given.
    pub(crate) usual: usize,
    /// The largest page.
    pub(crate) most: i32,
    /// The question's fingerprint; 0 where no token is held to its question.
    pub(crate) query: u64,
}

/// The direction in which entries are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// By key.
    Ascending,
    /// By key, the last first.
    Descending,
}

impl<'a> Page<'a> {
    /// A page of at most 100, as most lists of ECS have it.
    pub(crate) const fn of_100(
        operation: &'static str,
        token: Option<&'a str>,
        max_results: Option<i32>,
    ) -> Self {
        Self { operation, token, max_results, usual: 100, most: 100, query: 0 }
    }

    /// The same, of this question: a request without its token and its page's size, which alone may
    /// differ from one page to the next.
    pub(crate) fn of(self, question: &impl Serialize) -> Result<Self, Error> {
        Ok(Self { query: fingerprint::of(question)?, ..self })
    }

    /// Cuts the page out of `entries`, each with its unique key, and makes the token for the next.
    pub(crate) fn cut<T>(
        &self,
        mut entries: Vec<(String, T)>,
        order: Order,
    ) -> Result<(Vec<T>, Option<String>), Error> {
        let (size, after) = (self.size()?, self.after()?);
        entries.sort_by(|a, b| match order {
            Order::Ascending => a.0.cmp(&b.0),
            Order::Descending => b.0.cmp(&a.0),
        });
        if let Some(after) = after {
            entries.retain(|(key, _)| match order {
                Order::Ascending => *key > after,
                Order::Descending => *key < after,
            });
        }
        let more = entries.len() > size;
        entries.truncate(size);
        let token = entries.last().filter(|_| more).map(|(key, _)| self.write(key));
        Ok((entries.into_iter().map(|(_, entry)| entry).collect(), token))
    }

    /// After which key the page begins; none for the first page.
    pub(crate) fn after(&self) -> Result<Option<String>, Error> {
        self.token.filter(|token| !token.is_empty()).map(|t| self.read(t)).transpose()
    }

    /// The page out of `entries` that come after [`Page::after`], in the order of their keys, and the
    /// token for the next. No more of them are looked at than are shown, and one.
    pub(crate) fn first<T>(
        &self,
        entries: impl Iterator<Item = (String, T)>,
    ) -> Result<(Vec<T>, Option<String>), Error> {
        let size = self.size()?;
        let mut entries: Vec<(String, T)> = entries.take(size + 1).collect();
        let more = entries.len() > size;
        entries.truncate(size);
        let token = entries.last().filter(|_| more).map(|(key, _)| self.write(key));
        Ok((entries.into_iter().map(|(_, entry)| entry).collect(), token))
    }

    /// Whether its token is none of this list, for services that have an error of their own for that.
    pub(crate) fn has_foreign_token(&self) -> bool {
        self.token.is_some_and(|token| !token.is_empty() && self.read(token).is_err())
    }

    fn size(&self) -> Result<usize, Error> {
        match self.max_results {
            None => Ok(self.usual),
            Some(n) if (1..=self.most).contains(&n) => Ok(usize::try_from(n).unwrap_or(self.usual)),
            Some(n) => {
                Err(invalid(format!("maxResults is {n}; it must be between 1 and {}.", self.most)))
            }
        }
    }

    fn write(&self, key: &str) -> String {
        let Self { operation, query, .. } = self;
        let s = SEPARATOR;
        URL_SAFE_NO_PAD.encode(format!("{VERSION}{s}{operation}{s}{query:x}{s}{key}"))
    }

    fn read(&self, token: &str) -> Result<String, Error> {
        let bad = || invalid("Invalid token.");
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad())?;
        let text = String::from_utf8(bytes).map_err(|_| bad())?;
        let parts: Vec<&str> = text.splitn(4, SEPARATOR).collect();
        match parts[..] {
            [VERSION, operation, query, key]
                if operation == self.operation && query == format!("{:x}", self.query) =>
            {
                Ok(key.to_owned())
            }
            _ => Err(bad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(keys: &[&str]) -> Vec<(String, String)> {
        keys.iter().map(|key| ((*key).to_owned(), format!("arn/{key}"))).collect()
    }

    fn page(token: Option<&str>, max_results: i32) -> Page<'_> {
        Page { max_results: Some(max_results), ..Page::of_100("ListX", token, None) }
    }

    #[test]
    fn pages_join_into_the_whole_while_entries_come_and_go() {
        let (one, token) =
            page(None, 2).cut(entries(&["c", "a", "b", "e"]), Order::Ascending).unwrap();
        assert_eq!(one, ["arn/a", "arn/b"]);
        // "b" is gone and "d" has come.
        let (two, token) = page(token.as_deref(), 2)
            .cut(entries(&["a", "d", "c", "e"]), Order::Ascending)
            .unwrap();
        assert_eq!(two, ["arn/c", "arn/d"]);
        let (three, token) = page(token.as_deref(), 2)
            .cut(entries(&["a", "d", "c", "e"]), Order::Ascending)
            .unwrap();
        assert_eq!((three, token), (vec!["arn/e".to_owned()], None));
    }

    #[test]
    fn a_page_looks_at_no_more_entries_than_it_shows_and_one() {
        let keys = ["a", "b", "c", "d", "e"];
        let looked = std::cell::Cell::new(0);
        let mut token = None;
        let mut shown = Vec::new();
        for so_far in [3, 6, 7] {
            let page = page(token.as_deref(), 2);
            let after = page.after().unwrap();
            let rest = keys.iter().filter(|key| after.as_deref().is_none_or(|a| **key > a));
            let entries =
                rest.inspect(|_| looked.set(looked.get() + 1)).map(|k| ((*k).to_owned(), *k));
            let (some, next) = page.first(entries).unwrap();
            shown.extend(some);
            token = next;
            assert_eq!(looked.get(), so_far);
        }
        assert_eq!((shown, token), (keys.to_vec(), None));
    }

    #[test]
    fn descending_pages_go_the_other_way() {
        let (one, token) = page(None, 2).cut(entries(&["a", "b", "c"]), Order::Descending).unwrap();
        assert_eq!(one, ["arn/c", "arn/b"]);
        let (two, token) =
            page(token.as_deref(), 2).cut(entries(&["a", "b", "c"]), Order::Descending).unwrap();
        assert_eq!((two, token), (vec!["arn/a".to_owned()], None));
    }

    #[test]
    fn bad_tokens_and_sizes_are_refused() {
        let other = Page::of_100("ListY", None, None).write("a");
        let of = |question: &str| Page::of_100("ListX", None, None).of(&question).unwrap();
        let narrower = of("family=a").write("a");
        for token in ["x", "!!", "MQ", &other, &narrower] {
            let error = page(Some(token), 1).cut(entries(&["a"]), Order::Ascending).unwrap_err();
            assert_eq!(error.message, "Invalid token.");
        }
        let again = Page { token: Some(&narrower), ..of("family=a") };
        assert_eq!(again.cut(entries(&["a", "b"]), Order::Ascending).unwrap().0, ["arn/b"]);
        for size in [0, -1, 101, i32::MAX] {
            let error = page(None, size).cut(entries(&["a"]), Order::Ascending).unwrap_err();
            assert_eq!(error.code, "InvalidParameterException");
        }
    }
}
