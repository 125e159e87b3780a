//! Elastic Load Balancing: the wire in front of the state's balancers.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/Welcome.html>

mod actions;
mod attributes;
mod balancer_attributes;
mod balancers;
mod conditions;
mod errors;
mod group_attributes;
mod groups;
mod limits;
mod listeners;
mod logs;
mod policies;
mod ports;
mod refer;
mod rules;
mod tags;
mod targets;

use aws::Error;
use aws::elbv2::*;

use crate::door::{Caller, Door};

pub use ports::{AnyPort, Balancing, Ports, Transport};

/// Operations that read the state as it is now.
macro_rules! reads {
    ($($operation:ident, $request:ident, $response:ident => $read:path;)+) => {$(
        async fn $operation(&self, _: &Caller, request: $request) -> Result<$response, Error> {
            $read(&self.snapshot(), &request)
        }
    )+};
}

/// Operations that read nothing but what is built in.
macro_rules! constants {
    ($($operation:ident, $request:ident, $response:ident => $read:path;)+) => {$(
        async fn $operation(&self, _: &Caller, request: $request) -> Result<$response, Error> {
            $read(&request)
        }
    )+};
}

/// Operations that change it.
macro_rules! writes {
    ($($operation:ident, $request:ident, $response:ident => $write:path;)+) => {$(
        async fn $operation(&self, _: &Caller, request: $request) -> Result<$response, Error> {
            $write(self, request).await
        }
    )+};
}

impl Elbv2 for Door {
    type Context = Caller;

    async fn describe_load_balancers(
        &self,
        _: &Caller,
        request: DescribeLoadBalancersInput,
    ) -> Result<DescribeLoadBalancersOutput, Error> {
        balancers::describe(&self.snapshot(), &*self.config().balancing.ports, &request)
    }

    constants! {
        describe_account_limits, DescribeAccountLimitsInput, DescribeAccountLimitsOutput => limits::describe;
        describe_ssl_policies, DescribeSSLPoliciesInput, DescribeSSLPoliciesOutput => policies::describe;
    }

    reads! {
        describe_listener_attributes, DescribeListenerAttributesInput, DescribeListenerAttributesOutput => listeners::describe_attributes;
        describe_listener_certificates, DescribeListenerCertificatesInput, DescribeListenerCertificatesOutput => listeners::describe_certificates;
        describe_listeners, DescribeListenersInput, DescribeListenersOutput => listeners::describe;
        describe_load_balancer_attributes, DescribeLoadBalancerAttributesInput, DescribeLoadBalancerAttributesOutput => balancer_attributes::describe;
        describe_rules, DescribeRulesInput, DescribeRulesOutput => rules::describe;
        describe_tags, DescribeTagsInput, DescribeTagsOutput => tags::describe;
        describe_target_group_attributes, DescribeTargetGroupAttributesInput, DescribeTargetGroupAttributesOutput => group_attributes::describe;
        describe_target_groups, DescribeTargetGroupsInput, DescribeTargetGroupsOutput => groups::describe;
        describe_target_health, DescribeTargetHealthInput, DescribeTargetHealthOutput => targets::describe_health;
    }

    writes! {
        add_listener_certificates, AddListenerCertificatesInput, AddListenerCertificatesOutput => listeners::add_certificates;
        add_tags, AddTagsInput, AddTagsOutput => tags::add;
        create_listener, CreateListenerInput, CreateListenerOutput => listeners::create;
        create_load_balancer, CreateLoadBalancerInput, CreateLoadBalancerOutput => balancers::create;
        create_rule, CreateRuleInput, CreateRuleOutput => rules::create;
        create_target_group, CreateTargetGroupInput, CreateTargetGroupOutput => groups::create;
        delete_listener, DeleteListenerInput, DeleteListenerOutput => listeners::delete;
        delete_load_balancer, DeleteLoadBalancerInput, DeleteLoadBalancerOutput => balancers::delete;
        delete_rule, DeleteRuleInput, DeleteRuleOutput => rules::delete;
        delete_target_group, DeleteTargetGroupInput, DeleteTargetGroupOutput => groups::delete;
        deregister_targets, DeregisterTargetsInput, DeregisterTargetsOutput => targets::deregister;
        modify_listener, ModifyListenerInput, ModifyListenerOutput => listeners::modify;
        modify_listener_attributes, ModifyListenerAttributesInput, ModifyListenerAttributesOutput => listeners::modify_attributes;
        modify_load_balancer_attributes, ModifyLoadBalancerAttributesInput, ModifyLoadBalancerAttributesOutput => balancer_attributes::modify;
        modify_rule, ModifyRuleInput, ModifyRuleOutput => rules::modify;
        modify_target_group, ModifyTargetGroupInput, ModifyTargetGroupOutput => groups::modify;
        modify_target_group_attributes, ModifyTargetGroupAttributesInput, ModifyTargetGroupAttributesOutput => group_attributes::modify;
        register_targets, RegisterTargetsInput, RegisterTargetsOutput => targets::register;
        remove_listener_certificates, RemoveListenerCertificatesInput, RemoveListenerCertificatesOutput => listeners::remove_certificates;
        remove_tags, RemoveTagsInput, RemoveTagsOutput => tags::remove;
        set_ip_address_type, SetIpAddressTypeInput, SetIpAddressTypeOutput => balancers::set_addresses;
        set_rule_priorities, SetRulePrioritiesInput, SetRulePrioritiesOutput => rules::set_priorities;
        set_security_groups, SetSecurityGroupsInput, SetSecurityGroupsOutput => balancers::set_security_groups;
        set_subnets, SetSubnetsInput, SetSubnetsOutput => balancers::set_subnets;
    }
}
