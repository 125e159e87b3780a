//! What clients ask EC2 before they make a balancer: one default network, told as EC2 tells it.
//! Nothing of it can be changed. And the launch templates by which Auto Scaling groups start nodes.
//! Every other operation answers 501.
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Welcome.html>

mod describe;
mod filter;
mod interfaces;
mod network;
mod routing;
pub(crate) mod templates;

use aws::Error;
use aws::ec2::*;

use crate::door::{Caller, Door};

pub(crate) use network::Network;

/// Operations that tell of the network, which follows from account and region.
macro_rules! network {
    ($($operation:ident, $request:ident, $response:ident => $read:path;)+) => {$(
        async fn $operation(&self, _: &Caller, request: $request) -> Result<$response, Error> {
            $read(self.realm(), &request)
        }
    )+};
}

impl Ec2 for Door {
    type Context = Caller;

    network! {
        describe_account_attributes, DescribeAccountAttributesRequest, DescribeAccountAttributesResult => describe::account_attributes;
        describe_availability_zones, DescribeAvailabilityZonesRequest, DescribeAvailabilityZonesResult => describe::zones;
        describe_internet_gateways, DescribeInternetGatewaysRequest, DescribeInternetGatewaysResult => routing::internet_gateways;
        describe_regions, DescribeRegionsRequest, DescribeRegionsResult => describe::regions;
        describe_route_tables, DescribeRouteTablesRequest, DescribeRouteTablesResult => routing::route_tables;
        describe_security_groups, DescribeSecurityGroupsRequest, DescribeSecurityGroupsResult => routing::security_groups;
        describe_vpc_attribute, DescribeVpcAttributeRequest, DescribeVpcAttributeResult => describe::vpc_attribute;
        describe_vpcs, DescribeVpcsRequest, DescribeVpcsResult => describe::vpcs;
    }

    async fn create_launch_template(
        &self,
        caller: &Caller,
        request: CreateLaunchTemplateRequest,
    ) -> Result<CreateLaunchTemplateResult, Error> {
        templates::create(self, caller, request).await
    }

    async fn create_launch_template_version(
        &self,
        caller: &Caller,
        request: CreateLaunchTemplateVersionRequest,
    ) -> Result<CreateLaunchTemplateVersionResult, Error> {
        templates::create_version(self, caller, request).await
    }

    async fn modify_launch_template(
        &self,
        _: &Caller,
        request: ModifyLaunchTemplateRequest,
    ) -> Result<ModifyLaunchTemplateResult, Error> {
        templates::modify(self, request).await
    }

    async fn delete_launch_template(
        &self,
        _: &Caller,
        request: DeleteLaunchTemplateRequest,
    ) -> Result<DeleteLaunchTemplateResult, Error> {
        templates::delete(self, request).await
    }

    async fn delete_launch_template_versions(
        &self,
        _: &Caller,
        request: DeleteLaunchTemplateVersionsRequest,
    ) -> Result<DeleteLaunchTemplateVersionsResult, Error> {
        templates::delete_versions(self, request).await
    }

    async fn describe_launch_templates(
        &self,
        _: &Caller,
        request: DescribeLaunchTemplatesRequest,
    ) -> Result<DescribeLaunchTemplatesResult, Error> {
        templates::describe(&self.snapshot(), &request)
    }

    async fn describe_launch_template_versions(
        &self,
        _: &Caller,
        request: DescribeLaunchTemplateVersionsRequest,
    ) -> Result<DescribeLaunchTemplateVersionsResult, Error> {
        templates::describe_versions(&self.snapshot(), &request)
    }

    async fn describe_instances(
        &self,
        _: &Caller,
        request: DescribeInstancesRequest,
    ) -> Result<DescribeInstancesResult, Error> {
        routing::instances(&self.snapshot(), &request)
    }

    async fn describe_subnets(
        &self,
        _: &Caller,
        request: DescribeSubnetsRequest,
    ) -> Result<DescribeSubnetsResult, Error> {
        describe::subnets(&self.snapshot(), &request)
    }

    async fn describe_network_interfaces(
        &self,
        _: &Caller,
        request: DescribeNetworkInterfacesRequest,
    ) -> Result<DescribeNetworkInterfacesResult, Error> {
        interfaces::network_interfaces(&self.snapshot(), &request)
    }
}
