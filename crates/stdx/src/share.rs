//! Equal texts that are read become one text in memory, where that is asked for.
//!
//! A state of a million tasks names the same few clusters, families and instances again and again.
//! While [`sharing`] runs, identities that are deserialised on its thread share their text with equal
//! ones that were read before: less memory, and comparing them begins and ends with their addresses.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::Deserializer;
use serde::de::Visitor;

/// So many texts are remembered. What comes in more kinds than that is shared by few.
const MOST: usize = 1 << 16;

thread_local! {
    static KNOWN: RefCell<Option<HashSet<Arc<str>>>> = const { RefCell::new(None) };
}

/// Forgets what was remembered, however the work ends.
struct Forget;

impl Drop for Forget {
    fn drop(&mut self) {
        KNOWN.with_borrow_mut(|known| *known = None);
    }
}

/// Does some work in which equal identities that are deserialised on this thread share their text.
/// Within such work it changes nothing.
pub fn sharing<T>(work: impl FnOnce() -> T) -> T {
    let begins = KNOWN.with_borrow_mut(|known| {
        let begins = known.is_none();
        known.get_or_insert_default();
        begins
    });
    // Made only where it begins: what is made is dropped.
    let _forget = begins.then(|| Forget);
    work()
}

/// A text, shared with an equal one while [`sharing`] runs.
pub fn shared(text: &str) -> Arc<str> {
    KNOWN.with_borrow_mut(|known| {
        let Some(known) = known else { return text.into() };
        if let Some(known) = known.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        if known.len() < MOST {
            known.insert(new.clone());
        }
        new
    })
}

/// Reads a text as [`shared`] has it.
///
/// # Errors
///
/// It is no text.
pub fn read_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    struct Text;

    impl Visitor<'_> for Text {
        type Value = Arc<str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E>(self, text: &str) -> Result<Arc<str>, E> {
            Ok(shared(text))
        }
    }

    deserializer.deserialize_str(Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_while_it_runs_and_no_longer() {
        let (a, b) = sharing(|| (shared("web"), sharing(|| shared("web"))));
        assert!(Arc::ptr_eq(&a, &b) && &*a == "web");
        assert!(!Arc::ptr_eq(&a, &shared("web")));
        assert!(!Arc::ptr_eq(&a, &sharing(|| shared("web"))));
    }

    #[test]
    fn more_texts_than_are_remembered_are_texts_all_the_same() {
        sharing(|| {
            for n in 0..MOST + 10 {
                assert_eq!(*shared(&n.to_string()), n.to_string());
            }
        });
    }
}
