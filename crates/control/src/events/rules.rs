//! The rules of the state, read once when they change, as the bus follows them.

use std::sync::{Arc, Mutex, PoisonError};

use aws::events::Target as Wire;
use events::pattern::Pattern;
use events::{Rule, Rules, Target};
use model::{BusBook, EventRule, EventTarget};
use store::Store;

/// The retries and the age of targets that say nothing about it, as with AWS.
const MOST_RETRIES: u32 = 185;
const MOST_SECONDS: u32 = 86_400;

/// What was read of a book.
#[derive(Debug, Default)]
struct Read {
    of: Option<BusBook>,
    rules: Arc<Vec<Rule>>,
}

/// The rules of the store's state.
#[derive(Debug)]
pub struct StateRules {
    store: Store,
    read: Mutex<Read>,
}

impl StateRules {
    /// The rules of a store's state.
    pub fn new(store: Store) -> Self {
        Self { store, read: Mutex::default() }
    }
}

impl Rules for StateRules {
    fn rules(&self) -> Arc<Vec<Rule>> {
        let state = self.store.snapshot();
        let book = state.bus();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if !read.of.as_ref().is_some_and(|before| book.same_rules(before)) {
            let enabled = book.rules().filter(|rule| rule.enabled);
            let rules = enabled.map(|rule| self::read(book, rule)).collect();
            *read = Read { of: Some(book.clone()), rules: Arc::new(rules) };
        }
        Arc::clone(&read.rules)
    }
}

fn read(book: &BusBook, rule: &EventRule) -> Rule {
    let pattern = rule.pattern.as_ref().and_then(|document| {
        let text = std::str::from_utf8(&document.0).unwrap_or_default();
        Pattern::parse(text)
            .inspect_err(|error| {
                // It was read when it came; only an older build would have taken it.
                tracing::error!(rule = %rule.name, %error, "A rule takes nothing: its pattern is not valid.");
            })
            .ok()
    });
    let targets = book.targets(&rule.name).map(|it| target(it)).collect();
    Rule { name: rule.name.to_string(), pattern, targets }
}

fn target(it: &EventTarget) -> Target {
    let wire: Wire = serde_json::from_slice(&it.document.0).unwrap_or_default();
    let policy = wire.retry_policy.unwrap_or_default();
    let number =
        |given: Option<i32>, usual| given.and_then(|n| u32::try_from(n).ok()).unwrap_or(usual);
    Target {
        id: it.key.id.to_string(),
        most_retries: number(policy.maximum_retry_attempts, MOST_RETRIES),
        most_seconds: number(policy.maximum_event_age_in_seconds, MOST_SECONDS),
    }
}
