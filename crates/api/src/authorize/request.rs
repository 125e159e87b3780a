//! The members of a request that name resources, as ARNs. A member that is missing or malformed names
//! nothing: the operation itself refuses it.

use model::{Family, Realm, State};
use serde_json::Value;

use crate::refer;

/// A request and the state that it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) state: &'a State,
    pub(crate) body: &'a Value,
    /// The ARN of the secret that the request names, if it is there.
    pub(crate) secret: Option<&'a str>,
}

impl<'a> Asked<'a> {
    pub(crate) fn realm(&self) -> &'a Realm {
        self.state.realm()
    }

    /// A member's text, if it has one and it is not empty.
    pub(crate) fn text(&self, member: &str) -> Option<&'a str> {
        self.body.get(member)?.as_str().filter(|text| !text.is_empty())
    }

    /// A member's texts: of a list, or its own.
    pub(crate) fn texts(&self, member: &str) -> Vec<&'a str> {
        match self.body.get(member) {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// An ARN of a service in this region and account.
    pub(crate) fn arn(&self, service: &str, rest: &str) -> String {
        let Realm { partition, region, account, .. } = self.realm();
        format!("arn:{partition}:{service}:{region}:{account}:{rest}")
    }

    /// Names made ARNs by `make`; what is an ARN stays.
    pub(crate) fn arns(&self, member: &str, make: impl Fn(&str) -> String) -> Vec<String> {
        let one = |text: &str| if text.starts_with("arn:") { text.to_owned() } else { make(text) };
        self.texts(member).into_iter().map(one).collect()
    }

    /// The name of the cluster that the request is about: `default` unless given.
    pub(crate) fn cluster(&self) -> &'a str {
        let given = self.text("cluster").unwrap_or("default");
        given.rsplit('/').next().unwrap_or(given)
    }

    /// The same, as an ARN.
    pub(crate) fn cluster_arn(&self) -> String {
        self.arn("ecs", &format!("cluster/{}", self.cluster()))
    }

    /// What is found in the request's cluster, as ARNs of the long form.
    pub(crate) fn in_cluster(&self, kind: &str, member: &str) -> Vec<String> {
        let cluster = self.cluster();
        self.arns(member, |id| self.arn("ecs", &format!("{kind}/{cluster}/{id}")))
    }

    /// The task definitions that a member names: a family stands for its newest one.
    pub(crate) fn definitions(&self, member: &str) -> Vec<String> {
        self.arns(member, |text| {
            let latest = (!text.contains(':'))
                .then(|| self.state.latest_active(&Family::from(text)))
                .flatten();
            match latest {
                Some(definition) => self.realm().definition(&definition.key),
                None => self.arn("ecs", &format!("task-definition/{text}")),
            }
        })
    }

    /// The definition that the request would run.
    pub(crate) fn definition(&self) -> Option<&'a model::TaskDefinition> {
        let given = self.text("taskDefinition")?;
        refer::find_definition(self.state, given).ok().flatten().map(|definition| &**definition)
    }

    /// The tags that the request brings, as condition keys.
    pub(crate) fn tags(&self) -> Vec<(String, String)> {
        let mut keys = Vec::new();
        let mut add = |key: &str, value: &str| {
            keys.push((format!("aws:RequestTag/{key}"), value.to_owned()));
            keys.push(("aws:TagKeys".to_owned(), key.to_owned()));
        };
        match self.body.get("tags").or_else(|| self.body.get("Tags")) {
            Some(Value::Array(tags)) => {
                for tag in tags {
                    let of = |lower: &str, upper: &str| tag.get(lower).or_else(|| tag.get(upper));
                    let key = of("key", "Key").and_then(Value::as_str);
                    let value = of("value", "Value").and_then(Value::as_str);
                    if let Some(key) = key {
                        add(key, value.unwrap_or_default());
                    }
                }
            }
            Some(Value::Object(tags)) => {
                for (key, value) in tags {
                    add(key, value.as_str().unwrap_or_default());
                }
            }
            _ => {}
        }
        for key in self.texts("tagKeys").into_iter().chain(self.texts("TagKeys")) {
            keys.push(("aws:TagKeys".to_owned(), key.to_owned()));
        }
        keys
    }
}
