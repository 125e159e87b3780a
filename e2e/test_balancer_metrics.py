"""What load balancers count, in CloudWatch with AWS's names and dimensions, and services that follow it."""

import datetime
import http.client
import http.server
import socketserver
import threading

import pytest

from lib.balanced import Front, Load, deployed, web
from lib.server import free_port
from lib.tasks import fresh
from lib.wait import eventually

ASKED = 40


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status = {"/gone": 404, "/broken": 500}.get(self.path, 200)
        self.send_response(status)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def target():
    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield serving.server_address[1]
    serving.shutdown()


class Counted:
    """A load balancer before targets by their addresses, and its metrics."""

    def __init__(self, wharf, kind, *ports):
        self.elb, self.watch = wharf.client("elbv2"), wharf.client("cloudwatch")
        self.port, name, web = free_port(), fresh("m"), kind == "application"
        self.namespace = "AWS/ApplicationELB" if web else "AWS/NetworkELB"
        ec2 = wharf.client("ec2")
        [group] = self.elb.create_target_group(
            Name=name, Protocol="HTTP" if web else "TCP", Port=80, VpcId=ec2.describe_vpcs()["Vpcs"][0]["VpcId"],
            TargetType="ip", HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2, HealthyThresholdCount=2,
            UnhealthyThresholdCount=2)["TargetGroups"]
        self.group = group["TargetGroupArn"]
        self.elb.register_targets(TargetGroupArn=self.group, Targets=[{"Id": "127.0.0.1", "Port": p} for p in ports])
        [made] = self.elb.create_load_balancer(
            Name=name, Type=kind, Subnets=[s["SubnetId"] for s in ec2.describe_subnets()["Subnets"]])["LoadBalancers"]
        self.arn = made["LoadBalancerArn"]
        self.elb.create_listener(
            LoadBalancerArn=self.arn, Protocol="HTTP" if web else "TCP", Port=self.port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.group}])
        self.balancer = {"Name": "LoadBalancer", "Value": self.arn.split(":loadbalancer/")[1]}
        self.target_group = {"Name": "TargetGroup", "Value": self.group.split(":")[5]}
        self.began = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=5)

    def states(self):
        found = self.elb.describe_target_health(TargetGroupArn=self.group)["TargetHealthDescriptions"]
        return sorted(t["TargetHealth"]["State"] for t in found)

    def ask(self, path="/"):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        link.request("GET", path)
        link.getresponse().read()
        link.close()

    def metric(self, name, statistic, *dimensions):
        """A statistic over the time since the test began; none if nothing was measured."""
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1)
        points = self.watch.get_metric_statistics(
            Namespace=self.namespace, MetricName=name, Dimensions=list(dimensions), StartTime=self.began, EndTime=now,
            Period=3600, Statistics=[statistic])["Datapoints"]
        if not points:
            return None
        values = [point[statistic] for point in points]
        return sum(values) if statistic == "Sum" else max(values)

    def remove(self):
        self.elb.delete_load_balancer(LoadBalancerArn=self.arn)
        self.elb.delete_target_group(TargetGroupArn=self.group)


def test_requests_codes_times_and_hosts_are_metrics(wharf, target):
    counted = Counted(wharf, "application", target, free_port())
    eventually(lambda: counted.states() == ["healthy", "unhealthy"], within=30)
    both = (counted.balancer, counted.target_group)
    try:
        for _ in range(ASKED):
            counted.ask()
        for path in ("/gone", "/gone", "/broken"):
            counted.ask(path)

        def seen():
            total = ASKED + 3
            for dimensions in ([counted.balancer], both):
                assert counted.metric("RequestCount", "Sum", *dimensions) == total
                assert counted.metric("HTTPCode_Target_2XX_Count", "Sum", *dimensions) == ASKED
                assert counted.metric("HTTPCode_Target_4XX_Count", "Sum", *dimensions) == 2
                assert counted.metric("HTTPCode_Target_5XX_Count", "Sum", *dimensions) == 1
                assert 0 < counted.metric("TargetResponseTime", "Average", *dimensions) < 1
            # One target is healthy, so it has them all.
            for dimensions in ([counted.target_group], both):
                assert counted.metric("RequestCountPerTarget", "Sum", *dimensions) == total
            assert counted.metric("HealthyHostCount", "Maximum", *both) == 1
            assert counted.metric("UnHealthyHostCount", "Maximum", *both) >= 1
            assert counted.metric("NewConnectionCount", "Sum", counted.balancer) == total
            assert counted.metric("ProcessedBytes", "Sum", counted.balancer) > total * 100
            return True
        eventually(seen, within=15)
        names = {m["MetricName"] for m in counted.watch.list_metrics(Namespace=counted.namespace, Dimensions=[counted.balancer])["Metrics"]}
        assert {"RequestCount", "TargetResponseTime", "HealthyHostCount", "ActiveConnectionCount"} <= names
        # What it answers itself is told apart.
        counted.elb.deregister_targets(TargetGroupArn=counted.group, Targets=[{"Id": "127.0.0.1", "Port": target}])
        eventually(lambda: "healthy" not in counted.states(), within=10)
    finally:
        counted.remove()


def test_flows_are_metrics(wharf):
    class Echo(socketserver.BaseRequestHandler):
        def handle(self):
            while data := self.request.recv(1000):
                self.request.sendall(data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        counted = Counted(wharf, "network", serving.server_address[1])
        try:
            eventually(lambda: counted.states() == ["healthy"], within=30)
            for _ in range(5):
                with socketserver.socket.create_connection(("127.0.0.1", counted.port)) as link:
                    link.sendall(b"x" * 100)
                    assert link.recv(1000)

            def seen():
                assert counted.metric("NewFlowCount", "Sum", counted.balancer) == 5
                assert counted.metric("ProcessedBytes", "Sum", counted.balancer) == 1000
                assert counted.metric("HealthyHostCount", "Maximum", counted.balancer, counted.target_group) == 1
                assert counted.metric("ActiveFlowCount", "Maximum", counted.balancer) is not None
                assert counted.metric("RequestCount", "Sum", counted.balancer) is None
                return True
            eventually(seen, within=15)
        finally:
            counted.remove()
            serving.shutdown()


def test_a_service_follows_its_requests_out_and_in(wharf, tasks, name):
    front = Front(wharf)
    front.delay(1)
    tasks.create_service(web(tasks), 1, name, loadBalancers=[front.behind()])
    front.healthy(1)
    deployed(tasks, name)
    scaling = wharf.client("application-autoscaling")
    what = {"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount", "ResourceId": f"service/default/{name}"}
    scaling.register_scalable_target(MinCapacity=1, MaxCapacity=3, **what)
    label = f"{front.arn.split(':loadbalancer/')[1]}/{front.group.split(':')[5]}"
    scaling.put_scaling_policy(
        PolicyName="requests", PolicyType="TargetTrackingScaling", **what, TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 100.0, "ScaleOutCooldown": 1, "ScaleInCooldown": 1,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": label}})

    def count(wanted):
        found = tasks.service(name)
        return (found["desiredCount"], found["runningCount"]) == (wanted, wanted)

    with Load(front, kept=1, new=1) as load:
        eventually(lambda: count(3), within=120, every=0.5)
        front.healthy(3)
        load.goes_on()
    assert load.lost == []
    eventually(lambda: count(1), within=240, every=0.5)
    pages = scaling.get_paginator("describe_scaling_activities").paginate(**what)
    causes = [activity["Cause"] for page in pages for activity in page["ScalingActivities"]]
    assert any("AlarmHigh" in cause and "RequestCountPerTarget" in cause for cause in causes), causes
    assert any("AlarmLow" in cause for cause in causes), causes
