//! EventBridge: rules of the default bus, their targets, schedules, events of one's own, and web hooks.
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/Welcome.html>
//!
//! There is the default bus and no other. What targets may be is said in `check`.

mod check;
mod connections;
mod destinations;
mod errors;
mod publish;
mod rules;
mod run_task;
mod tags;
mod targets;

use aws::Error;
use aws::events::*;

use crate::door::{Caller, Door};

pub use run_task::{Refusal, run as run_for_rule};

/// Operations that read the state as it is now.
macro_rules! reads {
    ($($operation:ident, $request:ident, $response:ident => $read:path;)+) => {$(
        async fn $operation(&self, _: &Caller, request: $request) -> Result<$response, Error> {
            $read(&self.snapshot(), &request)
        }
    )+};
}

/// Operations that change it, or publish.
macro_rules! writes {
    ($($operation:ident, $request:ident, $response:ident => $write:path;)+) => {$(
        async fn $operation(&self, _: &Caller, request: $request) -> Result<$response, Error> {
            $write(self, request).await
        }
    )+};
}

impl Events for Door {
    type Context = Caller;

    reads! {
        describe_rule, DescribeRuleRequest, DescribeRuleResponse => rules::describe;
        list_rules, ListRulesRequest, ListRulesResponse => rules::list;
        list_rule_names_by_target, ListRuleNamesByTargetRequest, ListRuleNamesByTargetResponse => targets::rule_names;
        list_targets_by_rule, ListTargetsByRuleRequest, ListTargetsByRuleResponse => targets::list;
        list_tags_for_resource, ListTagsForResourceRequest, ListTagsForResourceResponse => tags::list;
        describe_event_bus, DescribeEventBusRequest, DescribeEventBusResponse => publish::describe_bus;
        list_event_buses, ListEventBusesRequest, ListEventBusesResponse => publish::list_buses;
        test_event_pattern, TestEventPatternRequest, TestEventPatternResponse => publish::test;
        describe_connection, DescribeConnectionRequest, DescribeConnectionResponse => connections::describe;
        list_connections, ListConnectionsRequest, ListConnectionsResponse => connections::list;
        describe_api_destination, DescribeApiDestinationRequest, DescribeApiDestinationResponse => destinations::describe;
        list_api_destinations, ListApiDestinationsRequest, ListApiDestinationsResponse => destinations::list;
    }

    writes! {
        put_rule, PutRuleRequest, PutRuleResponse => rules::put;
        enable_rule, EnableRuleRequest, EnableRuleResponse => rules::enable;
        disable_rule, DisableRuleRequest, DisableRuleResponse => rules::disable;
        delete_rule, DeleteRuleRequest, DeleteRuleResponse => rules::delete;
        put_targets, PutTargetsRequest, PutTargetsResponse => targets::put;
        remove_targets, RemoveTargetsRequest, RemoveTargetsResponse => targets::remove;
        tag_resource, TagResourceRequest, TagResourceResponse => tags::tag;
        untag_resource, UntagResourceRequest, UntagResourceResponse => tags::untag;
        put_events, PutEventsRequest, PutEventsResponse => publish::put;
        create_connection, CreateConnectionRequest, CreateConnectionResponse => connections::create;
        delete_connection, DeleteConnectionRequest, DeleteConnectionResponse => connections::delete;
        create_api_destination, CreateApiDestinationRequest, CreateApiDestinationResponse => destinations::create;
        delete_api_destination, DeleteApiDestinationRequest, DeleteApiDestinationResponse => destinations::delete;
    }
}
