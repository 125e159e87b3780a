"""Elastic Load Balancing by real clients: records, rules, attributes and refusals. What is behind
load balancers is in test_balanced_services."""

import json
import socket

import botocore.exceptions
import pytest

from lib.server import free_port
from lib.tasks import fresh


@pytest.fixture
def elb(wharf):
    return wharf.client("elbv2")


@pytest.fixture
def network(wharf):
    ec2 = wharf.client("ec2")
    subnets = ec2.describe_subnets()["Subnets"]
    return {"vpc": subnets[0]["VpcId"], "subnets": [s["SubnetId"] for s in subnets],
            "group": ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]}


FIXED = {"Type": "fixed-response", "FixedResponseConfig": {
    "StatusCode": "404", "ContentType": "text/plain", "MessageBody": "nothing here"}}


class Made:
    """Load balancers and target groups that are removed after the test."""

    def __init__(self, elb, network):
        self.elb, self.network, self.balancers, self.groups = elb, network, [], []

    def balancer(self, name=None, **more):
        arguments = {"Name": name or fresh("lb"), "Subnets": self.network["subnets"]} | more
        [made] = self.elb.create_load_balancer(**arguments)["LoadBalancers"]
        self.balancers.append(made["LoadBalancerArn"])
        return made

    def group(self, name=None, **more):
        arguments = {"Name": name or fresh("tg"), "Protocol": "HTTP", "Port": 80, "VpcId": self.network["vpc"],
                     "TargetType": "ip"} | more
        [made] = self.elb.create_target_group(**arguments)["TargetGroups"]
        self.groups.append(made["TargetGroupArn"])
        return made

    def listener(self, balancer, *actions, port=None, protocol="HTTP", **more):
        arguments = {"LoadBalancerArn": balancer["LoadBalancerArn"], "Protocol": protocol,
                     "Port": port or free_port(), "DefaultActions": list(actions) or [FIXED]} | more
        [made] = self.elb.create_listener(**arguments)["Listeners"]
        return made

    def remove(self):
        for arn in self.balancers:
            self.elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[
                {"Key": "deletion_protection.enabled", "Value": "false"}]) if self.there(arn) else None
            self.elb.delete_load_balancer(LoadBalancerArn=arn)
        for arn in self.groups:
            self.elb.delete_target_group(TargetGroupArn=arn)

    def there(self, arn):
        return arn in [b["LoadBalancerArn"] for b in self.elb.describe_load_balancers()["LoadBalancers"]]


@pytest.fixture
def made(elb, network):
    made = Made(elb, network)
    yield made
    made.remove()


def refused(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]


def to(*groups):
    if len(groups) == 1:
        return {"Type": "forward", "TargetGroupArn": groups[0]["TargetGroupArn"]}
    return {"Type": "forward", "ForwardConfig": {
        "TargetGroups": [{"TargetGroupArn": g["TargetGroupArn"], "Weight": 10 + n} for n, g in enumerate(groups)],
        "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 60}}}


def path(*values):
    return {"Field": "path-pattern", "PathPatternConfig": {"Values": list(values)}}


def test_the_life_of_a_load_balancer(elb, network, made):
    balancer = made.balancer(Tags=[{"Key": "team", "Value": "shop"}])
    arn, name = balancer["LoadBalancerArn"], balancer["LoadBalancerName"]
    elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[arn])
    elb.get_waiter("load_balancer_exists").wait(Names=[name])
    [told] = elb.describe_load_balancers(Names=[name])["LoadBalancers"]
    assert told == balancer
    assert (told["Type"], told["Scheme"], told["State"]["Code"]) == ("application", "internet-facing", "active")
    assert told["VpcId"] == network["vpc"] and told["SecurityGroups"] == [network["group"]]
    assert sorted(z["SubnetId"] for z in told["AvailabilityZones"]) == sorted(network["subnets"])
    assert told["DNSName"].endswith(".us-east-1.elb.localhost")
    assert made.balancer(name)["LoadBalancerArn"] == arn, "asked for again, it is the one that is there"
    error = refused(elb.create_load_balancer, Name=name, Subnets=network["subnets"], Scheme="internal")
    assert error["Code"] == "DuplicateLoadBalancerName"

    zones = elb.set_subnets(LoadBalancerArn=arn, Subnets=network["subnets"][:2])["AvailabilityZones"]
    assert len(zones) == 2
    groups = elb.set_security_groups(LoadBalancerArn=arn, SecurityGroups=[network["group"]])
    assert groups["SecurityGroupIds"] == [network["group"]]
    assert elb.set_ip_address_type(LoadBalancerArn=arn, IpAddressType="dualstack")["IpAddressType"] == "dualstack"

    elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[
        {"Key": "deletion_protection.enabled", "Value": "true"}])
    assert refused(elb.delete_load_balancer, LoadBalancerArn=arn)["Code"] == "OperationNotPermitted"
    elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[
        {"Key": "deletion_protection.enabled", "Value": "false"}])
    listener = made.listener(balancer)
    elb.delete_load_balancer(LoadBalancerArn=arn)
    elb.get_waiter("load_balancers_deleted").wait(LoadBalancerArns=[arn])
    error = refused(elb.describe_listeners, ListenerArns=[listener["ListenerArn"]])
    assert error["Code"] == "ListenerNotFound"
    elb.delete_load_balancer(LoadBalancerArn=arn)


def test_what_a_load_balancer_needs(elb, network):
    make = elb.create_load_balancer
    assert refused(make, Name="x", Subnets=network["subnets"][:1])["Code"] == "ValidationError"
    assert refused(make, Name="x", Subnets=["subnet-1", "subnet-2"])["Code"] == "SubnetNotFound"
    for name in ["", "-x", "x-", "x_y", "internal-x", "x" * 33]:
        assert refused(make, Name=name, Subnets=network["subnets"])["Code"] == "ValidationError", name
    error = refused(make, Name="x", Subnets=network["subnets"], SecurityGroups=["sg-1"])
    assert error["Code"] == "InvalidSecurityGroup"
    assert refused(make, Name="x", Type="gateway", Subnets=network["subnets"])["Code"] == "InvalidConfigurationRequest"
    arn = f"arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/x/{'0' * 16}"
    assert refused(elb.describe_load_balancers, LoadBalancerArns=[arn])["Code"] == "LoadBalancerNotFound"
    assert refused(elb.describe_load_balancers, Names=["nobody"])["Code"] == "LoadBalancerNotFound"
    assert refused(elb.describe_load_balancers, LoadBalancerArns=["x"])["Code"] == "ValidationError"


def test_target_groups_and_their_health_checks(elb, network, made):
    group = made.group(HealthCheckPath="/health", Matcher={"HttpCode": "200,301-302"})
    arn, name = group["TargetGroupArn"], group["TargetGroupName"]
    assert (group["HealthCheckIntervalSeconds"], group["HealthCheckTimeoutSeconds"]) == (30, 5)
    assert (group["HealthyThresholdCount"], group["UnhealthyThresholdCount"]) == (5, 2)
    assert group["HealthCheckPort"] == "traffic-port" and group["ProtocolVersion"] == "HTTP1"
    assert made.group(name, HealthCheckPath="/health", Matcher={"HttpCode": "200,301-302"}) == group
    error = refused(elb.create_target_group, Name=name, Protocol="HTTP", Port=81, VpcId=network["vpc"])
    assert error["Code"] == "DuplicateTargetGroupName"
    [after] = elb.modify_target_group(TargetGroupArn=arn, HealthCheckIntervalSeconds=10, HealthCheckPort="81",
                                      Matcher={"HttpCode": "204"})["TargetGroups"]
    assert (after["HealthCheckIntervalSeconds"], after["HealthCheckPort"]) == (10, "81")
    assert after["Matcher"] == {"HttpCode": "204"} and after["HealthCheckPath"] == "/health"
    for wrong in [{"HealthCheckTimeoutSeconds": 10}, {"HealthCheckPath": "x"}, {"HealthCheckPort": "99999"},
                  {"Matcher": {"HttpCode": "99"}}, {"Matcher": {"GrpcCode": "12"}}]:
        error = refused(elb.modify_target_group, TargetGroupArn=arn, **wrong)
        assert error["Code"] in ("ValidationError", "InvalidConfigurationRequest"), wrong
    grpc = made.group(ProtocolVersion="GRPC")
    assert grpc["Matcher"] == {"GrpcCode": "12"} and grpc["HealthCheckPath"] == "/AWS.ALB/healthcheck"
    tcp = made.group(Protocol="TCP")
    assert "HealthCheckPath" not in tcp and tcp["HealthCheckProtocol"] == "TCP" and tcp["HealthCheckTimeoutSeconds"] == 10
    for kind in ["lambda", "alb"]:
        error = refused(elb.create_target_group, Name="x", Protocol="HTTP", Port=80, VpcId=network["vpc"], TargetType=kind)
        assert error["Code"] == "InvalidConfigurationRequest" and kind in error["Message"]


def test_targets_are_registered_and_told(elb, made):
    group = made.group()
    arn = group["TargetGroupArn"]
    elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "127.0.0.1"}, {"Id": "127.0.0.1", "Port": 81}])
    elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "127.0.0.1"}])
    told = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    assert [t["Target"]["Port"] for t in told] == [80, 81]
    assert {(t["TargetHealth"]["State"], t["TargetHealth"]["Reason"]) for t in told} == {("unused", "Target.NotInUse")}
    [stranger] = elb.describe_target_health(TargetGroupArn=arn, Targets=[{"Id": "127.0.0.9"}])["TargetHealthDescriptions"]
    assert stranger["TargetHealth"]["Reason"] == "Target.NotRegistered"
    elb.deregister_targets(TargetGroupArn=arn, Targets=[{"Id": "127.0.0.1", "Port": 81}, {"Id": "127.0.0.8"}])
    elb.get_waiter("target_deregistered").wait(TargetGroupArn=arn, Targets=[{"Id": "127.0.0.1", "Port": 81}])
    assert len(elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]) == 1
    assert refused(elb.register_targets, TargetGroupArn=arn, Targets=[{"Id": "i-1"}])["Code"] == "ValidationError"
    instances = made.group(TargetType="instance")
    error = refused(elb.register_targets, TargetGroupArn=instances["TargetGroupArn"], Targets=[{"Id": "i-0123456789abcdef0"}])
    assert error["Code"] == "InvalidTarget" and "i-0123456789abcdef0" in error["Message"]


def test_listeners_are_made_changed_and_refused(elb, made):
    balancer, other, group = made.balancer(), made.balancer(), made.group()
    port = free_port()
    listener = made.listener(balancer, to(group), port=port)
    arn = listener["ListenerArn"]
    assert made.listener(balancer, to(group), port=port)["ListenerArn"] == arn
    [told] = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    assert told == listener
    [action] = told["DefaultActions"]
    assert action["TargetGroupArn"] == group["TargetGroupArn"]
    assert action["ForwardConfig"]["TargetGroups"] == [{"TargetGroupArn": group["TargetGroupArn"], "Weight": 1}]
    make = dict(LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=port, DefaultActions=[FIXED])
    assert refused(elb.create_listener, **make)["Code"] == "DuplicateListener"
    make["LoadBalancerArn"] = other["LoadBalancerArn"]
    error = refused(elb.create_listener, **make)
    assert error["Code"] == "InvalidConfigurationRequest" and str(port) in error["Message"]
    make |= {"Port": free_port(), "DefaultActions": [to(group)]}
    assert refused(elb.create_listener, **make)["Code"] == "TargetGroupAssociationLimit"
    assert refused(elb.create_listener, **(make | {"Protocol": "TCP"}))["Code"] == "UnsupportedProtocol"
    assert refused(elb.create_listener, **(make | {"Protocol": "HTTPS"}))["Code"] == "ValidationError"
    assert refused(elb.delete_target_group, TargetGroupArn=group["TargetGroupArn"])["Code"] == "ResourceInUse"
    [moved] = elb.modify_listener(ListenerArn=arn, Port=free_port(), DefaultActions=[FIXED])["Listeners"]
    assert moved["DefaultActions"][0]["FixedResponseConfig"] == FIXED["FixedResponseConfig"]
    assert moved["Port"] != port
    [group_told] = elb.describe_target_groups(TargetGroupArns=[group["TargetGroupArn"]])["TargetGroups"]
    assert group_told["LoadBalancerArns"] == []
    elb.delete_listener(ListenerArn=arn)
    assert elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"] == []


def test_actions_that_are_not_built_are_named(elb, made):
    balancer = made.balancer()
    make = dict(LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=free_port())
    oidc = {"Type": "authenticate-oidc", "Order": 1, "AuthenticateOidcConfig": {
        "Issuer": "https://i", "AuthorizationEndpoint": "https://a", "TokenEndpoint": "https://t",
        "UserInfoEndpoint": "https://u", "ClientId": "c", "ClientSecret": "s"}}
    error = refused(elb.create_listener, DefaultActions=[oidc, FIXED | {"Order": 2}], **make)
    assert error["Code"] == "InvalidLoadBalancerAction" and "authenticate-oidc" in error["Message"]
    same = {"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301"}}
    assert refused(elb.create_listener, DefaultActions=[same], **make)["Code"] == "InvalidLoadBalancerAction"
    for wrong in [{"StatusCode": "300"}, {"StatusCode": "200", "ContentType": "image/png"},
                  {"StatusCode": "200", "MessageBody": "x" * 1025}]:
        action = {"Type": "fixed-response", "FixedResponseConfig": wrong}
        assert refused(elb.create_listener, DefaultActions=[action], **make)["Code"] == "ValidationError", wrong


def test_rules_have_their_order(elb, made):
    balancer, one, two = made.balancer(), made.group(), made.group()
    listener = made.listener(balancer)["ListenerArn"]

    def rule(priority, *conditions, action=FIXED):
        [made_rule] = elb.create_rule(ListenerArn=listener, Priority=priority, Conditions=list(conditions),
                                      Actions=[action])["Rules"]
        return made_rule

    low = rule(20, path("/a/*"), {"Field": "host-header", "Values": ["*.example.com"]}, action=to(one, two))
    high = rule(10, {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Kind", "Values": ["b*"]}},
                {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "2"}, {"Value": "x"}]}},
                {"Field": "source-ip", "SourceIpConfig": {"Values": ["127.0.0.0/8"]}},
                {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET"]}})
    told = elb.describe_rules(ListenerArn=listener)["Rules"]
    assert [r["Priority"] for r in told] == ["10", "20", "default"] and told[-1]["IsDefault"]
    assert told[0] == high and told[1] == low
    assert low["Actions"][0]["ForwardConfig"]["TargetGroupStickinessConfig"] == {"Enabled": True, "DurationSeconds": 60}
    error = refused(elb.create_rule, ListenerArn=listener, Priority=10, Conditions=[path("/")], Actions=[FIXED])
    assert error["Code"] == "PriorityInUse"
    pairs = [{"RuleArn": low["RuleArn"], "Priority": 10}, {"RuleArn": high["RuleArn"], "Priority": 20}]
    elb.set_rule_priorities(RulePriorities=pairs)
    assert [r["RuleArn"] for r in elb.describe_rules(ListenerArn=listener)["Rules"]][:2] == [low["RuleArn"], high["RuleArn"]]
    [edited] = elb.modify_rule(RuleArn=low["RuleArn"], Conditions=[path("/b")])["Rules"]
    assert edited["Conditions"] == [path("/b") | {"Values": ["/b"]}] and edited["Actions"] == low["Actions"]
    assert refused(elb.delete_rule, RuleArn=told[-1]["RuleArn"])["Code"] == "OperationNotPermitted"
    elb.delete_rule(RuleArn=low["RuleArn"])
    assert refused(elb.describe_rules, RuleArns=[low["RuleArn"]])["Code"] == "RuleNotFound"


def test_rules_that_aws_refuses(elb, made):
    listener = made.listener(made.balancer())["ListenerArn"]
    host = {"Field": "host-header", "Values": ["a.example.com"]}
    for conditions in [[], [host, host], [path(*"123456")], [path("*******")], [path("/a b")],
                       [{"Field": "weather", "Values": ["fine"]}],
                       [{"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.1"]}}]]:
        error = refused(elb.create_rule, ListenerArn=listener, Priority=1, Conditions=conditions, Actions=[FIXED])
        assert error["Code"] == "ValidationError", conditions
    regex = {"Field": "path-pattern", "PathPatternConfig": {"RegexValues": ["^/a"]}}
    error = refused(elb.create_rule, ListenerArn=listener, Priority=1, Conditions=[regex], Actions=[FIXED])
    assert error["Code"] == "InvalidConfigurationRequest" and "RegexValues" in error["Message"]


def test_attributes_are_honoured_or_refused_by_name(elb, made):
    balancer, group = made.balancer(), made.group()
    arn = balancer["LoadBalancerArn"]

    def pairs(answer):
        return {a["Key"]: a["Value"] for a in answer["Attributes"]}

    before = pairs(elb.describe_load_balancer_attributes(LoadBalancerArn=arn))
    assert before["idle_timeout.timeout_seconds"] == "60" and before["routing.http2.enabled"] == "true"
    after = pairs(elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[
        {"Key": "idle_timeout.timeout_seconds", "Value": "5"}, {"Key": "waf.fail_open.enabled", "Value": "false"}]))
    assert after == before | {"idle_timeout.timeout_seconds": "5"}
    # Whatever is told can be given back, 20 at a time.
    same = [{"Key": k, "Value": v} for k, v in after.items()]
    for some in (same[:20], same[20:]):
        assert pairs(elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=some)) == after
    for key, value, code in [("idle_timeout.timeout_seconds", "0", "InvalidConfigurationRequest"),
                             ("waf.fail_open.enabled", "true", "InvalidConfigurationRequest"),
                             ("access_logs.s3.enabled", "true", "InvalidConfigurationRequest"),
                             ("moon.phase", "full", "ValidationError")]:
        error = refused(elb.modify_load_balancer_attributes, LoadBalancerArn=arn, Attributes=[{"Key": key, "Value": value}])
        assert error["Code"] == code and key.split(".")[0] in error["Message"], error

    arn = group["TargetGroupArn"]
    told = pairs(elb.describe_target_group_attributes(TargetGroupArn=arn))
    assert told["deregistration_delay.timeout_seconds"] == "300" and told["stickiness.type"] == "lb_cookie"
    same = [{"Key": k, "Value": v} for k, v in told.items()]
    assert pairs(elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=same)) == told
    after = pairs(elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=[
        {"Key": "stickiness.enabled", "Value": "true"}, {"Key": "stickiness.lb_cookie.duration_seconds", "Value": "9"}]))
    assert (after["stickiness.enabled"], after["stickiness.lb_cookie.duration_seconds"]) == ("true", "9")
    for key, value in [("proxy_protocol_v2.enabled", "true"), ("slow_start.duration_seconds", "5"),
                       ("load_balancing.algorithm.anomaly_mitigation", "on"), ("stickiness.app_cookie.cookie_name", "AWSALB")]:
        refused(elb.modify_target_group_attributes, TargetGroupArn=arn, Attributes=[{"Key": key, "Value": value}])
    plain = made.group(Protocol="TCP")["TargetGroupArn"]
    error = refused(elb.modify_target_group_attributes, TargetGroupArn=plain, Attributes=[
        {"Key": "preserve_client_ip.enabled", "Value": "true"}])
    assert "preserve_client_ip.enabled" in error["Message"]

    network_balancer = made.balancer(Type="network")
    tcp = made.listener(network_balancer, to(made.group(Protocol="TCP")), protocol="TCP")
    timeout = elb.modify_listener_attributes(ListenerArn=tcp["ListenerArn"], Attributes=[
        {"Key": "tcp.idle_timeout.seconds", "Value": "60"}])
    assert pairs(timeout) == {"tcp.idle_timeout.seconds": "60"}
    web = made.listener(balancer)
    told = elb.describe_listener_attributes(ListenerArn=web["ListenerArn"])["Attributes"]
    assert elb.modify_listener_attributes(ListenerArn=web["ListenerArn"], Attributes=told)["Attributes"] == told


def test_certificates_of_listeners(wharf, elb, made):
    acm = wharf.client("acm")
    arns = [acm.request_certificate(DomainName=f"{n}.example.com")["CertificateArn"] for n in "abc"]
    secure = made.listener(made.balancer(), protocol="HTTPS", Certificates=[{"CertificateArn": arns[0]}],
                           SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06")
    arn = secure["ListenerArn"]
    assert secure["Certificates"] == [{"CertificateArn": arns[0]}]
    elb.add_listener_certificates(ListenerArn=arn, Certificates=[{"CertificateArn": a} for a in arns[1:]])
    told = elb.describe_listener_certificates(ListenerArn=arn)["Certificates"]
    assert [(c["CertificateArn"], c["IsDefault"]) for c in told] == [(arns[0], True), (arns[1], False), (arns[2], False)]
    error = refused(elb.remove_listener_certificates, ListenerArn=arn, Certificates=[{"CertificateArn": arns[0]}])
    assert error["Code"] == "OperationNotPermitted"
    elb.remove_listener_certificates(ListenerArn=arn, Certificates=[{"CertificateArn": arns[2]}])
    [after] = elb.modify_listener(ListenerArn=arn, Certificates=[{"CertificateArn": arns[2]}])["Listeners"]
    assert after["Certificates"] == [{"CertificateArn": arns[2]}]
    missing = arns[0][:-1] + ("0" if arns[0][-1] != "0" else "1")
    error = refused(elb.add_listener_certificates, ListenerArn=arn, Certificates=[{"CertificateArn": missing}])
    assert error["Code"] == "CertificateNotFound"
    error = refused(elb.modify_listener, ListenerArn=arn, SslPolicy="ELBSecurityPolicy-TLS-1-0-2015-04")
    assert error["Code"] == "SSLPolicyNotFound"
    policies = elb.describe_ssl_policies()["SslPolicies"]
    [modern] = [p for p in policies if p["Name"] == "ELBSecurityPolicy-TLS13-1-3-2021-06"]
    assert modern["SslProtocols"] == ["TLSv1.3"] and modern["Ciphers"][0]["Priority"] == 1


def test_a_port_that_another_program_has_is_refused(elb, made):
    balancer = made.balancer()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = refused(elb.create_listener, LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=port,
                        DefaultActions=[FIXED])
    assert error["Code"] == "InvalidConfigurationRequest" and str(port) in error["Message"]
    assert elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"] == []


def test_tags_pages_and_limits(elb, made):
    balancers = [made.balancer(Tags=[{"Key": "n", "Value": str(n)}]) for n in range(3)]
    pages = list(elb.get_paginator("describe_load_balancers").paginate(PaginationConfig={"PageSize": 2}))
    arns = [b["LoadBalancerArn"] for page in pages for b in page["LoadBalancers"]]
    assert len(pages) >= 2 and {b["LoadBalancerArn"] for b in balancers} <= set(arns) and len(set(arns)) == len(arns)
    assert refused(elb.describe_load_balancers, Marker="nonsense")["Code"] == "ValidationError"
    group, listener = made.group(), made.listener(balancers[0])["ListenerArn"]
    arns = [balancers[0]["LoadBalancerArn"], group["TargetGroupArn"], listener]
    elb.add_tags(ResourceArns=arns, Tags=[{"Key": "team", "Value": "shop"}, {"Key": "n", "Value": "9"}])
    told = elb.describe_tags(ResourceArns=arns)["TagDescriptions"]
    assert [t["ResourceArn"] for t in told] == arns
    assert all({"Key": "team", "Value": "shop"} in t["Tags"] for t in told)
    elb.remove_tags(ResourceArns=arns, TagKeys=["team", "n"])
    assert all(t["Tags"] == [] for t in elb.describe_tags(ResourceArns=arns)["TagDescriptions"])
    twice = [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]
    assert refused(elb.add_tags, ResourceArns=arns, Tags=twice)["Code"] == "DuplicateTagKeys"
    many = [{"Key": str(n), "Value": ""} for n in range(51)]
    assert refused(elb.add_tags, ResourceArns=arns, Tags=many)["Code"] == "TooManyTags"
    limits = {limit["Name"]: int(limit["Max"]) for limit in elb.describe_account_limits()["Limits"]}
    assert limits["listeners-per-application-load-balancer"] == 50 and limits["condition-values-per-alb-rule"] == 5


def test_the_aws_cli_drives_it(wharf, network):
    def aws(*words):
        text = wharf.aws("elbv2", *words)
        return json.loads(text) if text else None

    name = fresh("cli")
    [balancer] = aws("create-load-balancer", "--name", name, "--subnets", *network["subnets"])["LoadBalancers"]
    arn = balancer["LoadBalancerArn"]
    wharf.aws("elbv2", "wait", "load-balancer-available", "--load-balancer-arns", arn)
    [group] = aws("create-target-group", "--name", name, "--protocol", "HTTP", "--port", "80", "--vpc-id",
                  network["vpc"], "--target-type", "ip")["TargetGroups"]
    [listener] = aws("create-listener", "--load-balancer-arn", arn, "--protocol", "HTTP", "--port", str(free_port()),
                     "--default-actions", f"Type=forward,TargetGroupArn={group['TargetGroupArn']}")["Listeners"]
    aws("create-rule", "--listener-arn", listener["ListenerArn"], "--priority", "5", "--conditions",
        "Field=path-pattern,Values=/img/*", "--actions",
        "Type=redirect,RedirectConfig={Protocol=HTTPS,Port=443,StatusCode=HTTP_301}")
    rules = aws("describe-rules", "--listener-arn", listener["ListenerArn"])["Rules"]
    assert rules[0]["Actions"][0]["RedirectConfig"]["Host"] == "#{host}"
    done = wharf.aws("elbv2", "delete-target-group", "--target-group-arn", group["TargetGroupArn"], check=False)
    assert "An error occurred (ResourceInUse) when calling the DeleteTargetGroup operation" in done.stderr
    aws("delete-load-balancer", "--load-balancer-arn", arn)
    wharf.aws("elbv2", "wait", "load-balancers-deleted", "--load-balancer-arns", arn)
    aws("delete-target-group", "--target-group-arn", group["TargetGroupArn"])
