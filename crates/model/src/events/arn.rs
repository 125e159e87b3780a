//! The ARNs of EventBridge.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html>

use crate::{ApiDestination, ApiDestinationName, Connection, ConnectionName, EventRuleName, Realm};

impl Realm {
    fn bus(&self, rest: std::fmt::Arguments<'_>) -> String {
        let Self { partition, region, account, .. } = self;
        format!("arn:{partition}:events:{region}:{account}:{rest}")
    }

    /// The ARN of the default bus.
    pub fn event_bus(&self) -> String {
        self.bus(format_args!("event-bus/default"))
    }

    /// A rule's ARN.
    pub fn event_rule(&self, name: &EventRuleName) -> String {
        self.bus(format_args!("rule/{name}"))
    }

    /// A connection's ARN.
    pub fn connection(&self, it: &Connection) -> String {
        self.bus(format_args!("connection/{}/{}", it.name, it.id))
    }

    /// An API destination's ARN.
    pub fn api_destination(&self, it: &ApiDestination) -> String {
        self.bus(format_args!("api-destination/{}/{}", it.name, it.id))
    }

    /// The rule that an ARN of this realm names, with or without its bus.
    pub fn parse_event_rule(&self, arn: &str) -> Option<EventRuleName> {
        let name = arn.strip_prefix(&self.bus(format_args!("rule/")))?;
        let name = name.strip_prefix("default/").unwrap_or(name);
        (!name.is_empty() && !name.contains('/')).then(|| name.into())
    }

    /// The connection that an ARN of this realm names, and its id.
    pub fn parse_connection<'a>(&self, arn: &'a str) -> Option<(ConnectionName, &'a str)> {
        self.named(arn, "connection").map(|(name, id)| (name.into(), id))
    }

    /// The API destination that an ARN of this realm names, and its id.
    pub fn parse_api_destination<'a>(&self, arn: &'a str) -> Option<(ApiDestinationName, &'a str)> {
        self.named(arn, "api-destination").map(|(name, id)| (name.into(), id))
    }

    fn named<'a>(&self, arn: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
        let rest = arn.strip_prefix(&self.bus(format_args!("{kind}/")))?;
        rest.split_once('/').filter(|(name, id)| !name.is_empty() && !id.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_named_with_or_without_its_bus() {
        let realm = Realm::new("eu-west-1", "123456789012");
        let name = EventRuleName::from("nightly");
        let arn = realm.event_rule(&name);
        assert_eq!(arn, "arn:aws:events:eu-west-1:123456789012:rule/nightly");
        assert_eq!(realm.parse_event_rule(&arn), Some(name.clone()));
        let long = "arn:aws:events:eu-west-1:123456789012:rule/default/nightly";
        assert_eq!(realm.parse_event_rule(long), Some(name));
        for other in [
            "nightly",
            "arn:aws:events:eu-west-1:123456789012:rule/",
            "arn:aws:events:eu-west-1:123456789012:rule/bus/nightly",
            "arn:aws:events:us-east-1:123456789012:rule/nightly",
        ] {
            assert_eq!(realm.parse_event_rule(other), None, "{other}");
        }
        let arn = "arn:aws:events:eu-west-1:123456789012:api-destination/hook/1-2";
        assert_eq!(realm.parse_api_destination(arn), Some(("hook".into(), "1-2")));
        assert_eq!(realm.parse_connection(arn), None);
    }
}
