"""The default network, as EC2's clients ask for it before they make a load balancer."""

import json

import botocore.exceptions
import pytest


@pytest.fixture
def ec2(wharf):
    return wharf.client("ec2")


def refused(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]


def test_there_is_a_default_network(ec2):
    [vpc] = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    assert vpc["CidrBlock"] == "172.31.0.0/16" and vpc["State"] == "available"
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    assert sorted(s["AvailabilityZone"] for s in subnets) == sorted(z["ZoneName"] for z in zones)
    assert len(zones) == 3 and all(s["DefaultForAz"] for s in subnets)
    [group] = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    assert group["VpcId"] == vpc["VpcId"]
    [gateway] = ec2.describe_internet_gateways(
        Filters=[{"Name": "attachment.vpc-id", "Values": [vpc["VpcId"]]}])["InternetGateways"]
    [table] = ec2.describe_route_tables()["RouteTables"]
    assert {"local", gateway["InternetGatewayId"]} == {r["GatewayId"] for r in table["Routes"]}
    attribute = ec2.describe_vpc_attribute(VpcId=vpc["VpcId"], Attribute="enableDnsSupport")
    assert attribute["EnableDnsSupport"]["Value"] is True
    attributes = ec2.describe_account_attributes(AttributeNames=["default-vpc"])["AccountAttributes"]
    assert attributes[0]["AttributeValues"] == [{"AttributeValue": vpc["VpcId"]}]
    unused = [{"Name": "status", "Values": ["available"]}]
    assert ec2.describe_network_interfaces(Filters=unused)["NetworkInterfaces"] == []
    [region] = ec2.describe_regions()["Regions"]
    assert zones[0]["RegionName"] == region["RegionName"]


def test_filters_choose_and_ids_are_held_to_what_there_is(ec2):
    subnets = ec2.describe_subnets()["Subnets"]
    first = subnets[0]
    [one] = ec2.describe_subnets(SubnetIds=[first["SubnetId"]])["Subnets"]
    assert one == first
    by_zone = [{"Name": "availability-zone", "Values": [first["AvailabilityZone"][:-1] + "?"]},
               {"Name": "default-for-az", "Values": ["true", "false"]}]
    assert len(ec2.describe_subnets(Filters=by_zone)["Subnets"]) == 3
    assert ec2.describe_subnets(Filters=[{"Name": "tag:Name", "Values": ["*"]}])["Subnets"] == []
    assert refused(ec2.describe_subnets, SubnetIds=["subnet-1"])["Code"] == "InvalidSubnetID.NotFound"
    assert refused(ec2.describe_vpcs, VpcIds=["vpc-1"])["Code"] == "InvalidVpcID.NotFound"
    assert refused(ec2.describe_security_groups, GroupIds=["sg-1"])["Code"] == "InvalidGroup.NotFound"
    error = refused(ec2.describe_vpcs, Filters=[{"Name": "weather", "Values": ["fine"]}])
    assert error["Code"] == "InvalidParameterValue" and "weather" in error["Message"]
    assert refused(ec2.describe_vpcs, DryRun=True)["Code"] == "DryRunOperation"


def test_pages_are_followed(ec2):
    pages = list(ec2.get_paginator("describe_subnets").paginate(PaginationConfig={"PageSize": 5}))
    assert sum(len(page["Subnets"]) for page in pages) == 3


def test_what_is_not_built_says_so(ec2):
    error = refused(ec2.create_vpc, CidrBlock="10.0.0.0/16")
    assert error["Code"] == "NotImplemented" and "CreateVpc" in error["Message"]
    missing = refused(ec2.describe_instances, InstanceIds=["i-0123456789abcdef0"])
    assert missing["Code"] == "InvalidInstanceID.NotFound"


def test_the_aws_cli_reads_it(wharf):
    told = json.loads(wharf.aws("ec2", "describe-vpcs", "--query", "Vpcs[].IsDefault"))
    assert told == [True]
