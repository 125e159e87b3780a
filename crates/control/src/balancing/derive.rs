//! The balancer's table as a function of the state, worked out from what changed since the last one:
//! one route among ten thousand costs one route.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use balancer::{BalancerSettings, Listener, Rule, Table};
use model::{BalancerId, Book, CertificateArn, GroupId, ListenerId, RuleId, State, TargetKind};

use super::groups::{self, Addresses};
use super::listeners::{self, Certificates};

/// A table, with what it was made from.
#[derive(Clone, Debug)]
pub(super) struct Derived {
    /// The table. What did not change is shared with the one before.
    pub(super) table: Table,
    /// Listeners that cannot be served, and why.
    pub(super) unserved: BTreeMap<ListenerId, String>,
    state: Arc<State>,
    settings: BTreeMap<BalancerId, Arc<BalancerSettings>>,
    addresses: Addresses,
    certificates: Certificates,
}

/// Every certificate that a listener names.
pub(super) fn named_certificates(book: &Book) -> BTreeSet<CertificateArn> {
    book.all_listeners().flat_map(|listener| listener.certificates.iter().cloned()).collect()
}

impl Derived {
    /// Of a state without load balancers: nothing is served.
    pub(super) fn nothing(realm: &model::Realm) -> Self {
        Self {
            table: Table::default(),
            unserved: BTreeMap::new(),
            state: Arc::new(State::new(realm.clone())),
            settings: BTreeMap::new(),
            addresses: Addresses::new(),
            certificates: Certificates::new(),
        }
    }

    /// Of `state`, whose listeners bind these addresses. None if nothing of it concerns the balancer.
    pub(super) fn next(
        &self,
        state: &Arc<State>,
        certificates: &Certificates,
        bind: &[IpAddr],
    ) -> Option<Self> {
        let difference = state.balancing().since(self.state.balancing());
        let moved = !state.same_instances(&self.state);
        let addresses = if moved { groups::addresses(state) } else { self.addresses.clone() };
        let readdressed = addresses != self.addresses;
        let recertified = *certificates != self.certificates;
        let served = difference.balancers
            || recertified
            || readdressed
            || !(difference.listeners.is_empty()
                && difference.rules.is_empty()
                && difference.groups.is_empty());
        if !served {
            return None;
        }
        let mut next = Self {
            state: state.clone(),
            addresses,
            certificates: certificates.clone(),
            ..self.clone()
        };
        let mut anew: BTreeSet<ListenerId> = difference.listeners.into_iter().collect();
        if difference.balancers {
            anew.extend(next.balancers());
        }
        if recertified {
            anew.extend(secured(state.balancing()));
        }
        let rules = difference.rules.into_iter().filter(|rule| !anew.contains(&rule.listener()));
        next.rules(self.state.balancing(), rules.collect());
        for id in &anew {
            next.listener(id, bind);
        }
        if readdressed {
            let all = state.balancing().groups().filter(|g| g.kind == TargetKind::Instance);
            all.for_each(|group| next.group(&group.id));
        }
        difference.groups.iter().for_each(|id| next.group(id));
        Some(next)
    }

    /// Takes over what load balancers ask of their listeners; tells whose listeners that concerns.
    fn balancers(&mut self) -> Vec<ListenerId> {
        let book = self.state.balancing();
        let mut settings = BTreeMap::new();
        let mut concerned = Vec::new();
        for balancer in book.balancers() {
            let made = listeners::settings(balancer);
            let same = self.settings.get(&balancer.id).filter(|before| ***before == made);
            if same.is_none() {
                concerned.extend(book.listeners(&balancer.id).map(|listener| listener.id.clone()));
            }
            let shared = same.cloned().unwrap_or_else(|| Arc::new(made));
            settings.insert(balancer.id.clone(), shared);
        }
        for gone in self.settings.keys().filter(|id| !settings.contains_key(*id)) {
            concerned.extend(book.listeners(gone).map(|listener| listener.id.clone()));
        }
        self.settings = settings;
        concerned
    }

    fn place(&self, id: &ListenerId) -> Result<usize, usize> {
        self.table.listeners.binary_search_by(|listener| listener.id.as_str().cmp(id.as_str()))
    }

    /// Makes a listener anew with all its rules, or takes it out.
    fn listener(&mut self, id: &ListenerId, bind: &[IpAddr]) {
        let state = self.state.clone();
        let book = state.balancing();
        self.unserved.remove(id);
        let found = book.listener(id).zip(self.settings.get(&id.balancer()));
        let made = found.map(|(listener, settings)| {
            let rules = self.rules_of(book, id);
            listeners::listener(listener, settings.clone(), rules, bind, &self.certificates)
        });
        let made = made.transpose().unwrap_or_else(|why| {
            self.unserved.insert(id.clone(), why);
            None
        });
        match (self.place(id), made.map(Arc::new)) {
            (Ok(at), Some(made)) => self.table.listeners[at] = made,
            (Ok(at), None) => drop(self.table.listeners.remove(at)),
            (Err(at), Some(made)) => self.table.listeners.insert(at, made),
            (Err(_), None) => {}
        }
    }

    /// The rules of a listener in their order; those that it had are shared where they are the same.
    fn rules_of(&self, book: &Book, id: &ListenerId) -> Vec<Arc<Rule>> {
        let had = self.place(id).ok().map(|at| self.table.listeners[at].rules.as_slice());
        let had: BTreeMap<&balancer::RuleId, &Arc<Rule>> =
            had.unwrap_or_default().iter().map(|rule| (&rule.id, rule)).collect();
        let mut rules: Vec<Arc<Rule>> = book
            .rules(id)
            .map(|rule| {
                let made = listeners::rule(rule);
                match had.get(&made.id) {
                    Some(before) if ***before == made => Arc::clone(before),
                    Some(_) | None => Arc::new(made),
                }
            })
            .collect();
        rules.sort_by(|a, b| order(a).cmp(&order(b)));
        rules
    }

    /// Changes single rules of listeners that stay as they are otherwise.
    fn rules(&mut self, before: &Book, changed: Vec<RuleId>) {
        let mut by_listener: BTreeMap<ListenerId, Vec<RuleId>> = BTreeMap::new();
        for rule in changed {
            by_listener.entry(rule.listener()).or_default().push(rule);
        }
        let state = self.state.clone();
        for (id, changed) in by_listener {
            let Ok(at) = self.place(&id) else { continue };
            let mut listener = Listener::clone(&self.table.listeners[at]);
            for id in &changed {
                if let Some(old) = before.rule(id)
                    && let Ok(at) = place_of(&listener.rules, old)
                {
                    listener.rules.remove(at);
                }
            }
            for id in &changed {
                if let Some(new) = state.balancing().rule(id)
                    && let Err(at) = place_of(&listener.rules, new)
                {
                    listener.rules.insert(at, Arc::new(listeners::rule(new)));
                }
            }
            self.table.listeners[at] = Arc::new(listener);
        }
    }

    /// Makes a group anew, or takes it out.
    fn group(&mut self, id: &GroupId) {
        let book = self.state.balancing();
        let key = balancer::GroupId::from(id.as_str());
        let Some(group) = book.group(id) else {
            self.table.groups.remove(&key);
            return;
        };
        let before = self.table.groups.get(&key);
        let made = groups::group(book, group, &self.addresses, before.map(|before| &**before));
        if before.is_none_or(|before| **before != made) {
            self.table.groups.insert(key, Arc::new(made));
        }
    }
}

/// Listeners that have certificates.
fn secured(book: &Book) -> impl Iterator<Item = ListenerId> + '_ {
    book.all_listeners().filter(|l| !l.certificates.is_empty()).map(|l| l.id.clone())
}

fn order(rule: &Rule) -> (u32, &str) {
    (rule.priority, rule.id.as_str())
}

fn place_of(rules: &[Arc<Rule>], rule: &model::Rule) -> Result<usize, usize> {
    rules.binary_search_by(|other| order(other).cmp(&(rule.priority, rule.id.as_str())))
}

#[cfg(test)]
mod tests;
