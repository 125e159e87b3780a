"""Logs of load balancers, read back from their buckets: access logs of requests and of TLS flows,
connection logs, and what a server that is ended leaves."""

import contextlib
import gzip
import http.client
import http.server
import re
import shlex
import socket
import ssl
import threading

import botocore.exceptions
import pytest

from lib import server
from lib.server import free_port
from lib.tasks import fresh
from lib.wait import eventually

FIELDS = """type time elb client target request_time target_time response_time elb_status target_status received sent
    request agent cipher protocol group trace domain certificate priority created actions redirect error targets statuses
    classification reason connection host uri transform""".split()


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def target():
    """A server that answers, by its port."""
    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield serving.server_address[1]
    serving.shutdown()


@contextlib.contextmanager
def wharf_that_logs(folder, seconds):
    with server.running(folder / "data", "--balancer-log-seconds", str(seconds)) as wharf:
        yield wharf


@pytest.fixture
def wharf(tmp_path):
    """A server of this test's own that delivers each second."""
    with wharf_that_logs(tmp_path, 1) as wharf:
        yield wharf


class Logged:
    """A load balancer with a bucket for its logs."""

    def __init__(self, wharf, target, protocol="HTTP", domain=None, prefix="edge/logs"):
        self.elb, self.s3 = wharf.client("elbv2"), wharf.client("s3")
        self.name, self.port, self.bucket, self.prefix = fresh("b"), free_port(), fresh("logs"), prefix
        flows = protocol == "TLS"
        ec2 = wharf.client("ec2")
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        [group] = self.elb.create_target_group(
            Name=self.name, Protocol="TCP" if flows else "HTTP", Port=target, VpcId=vpc, TargetType="ip",
            HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2, HealthyThresholdCount=2)["TargetGroups"]
        self.group = group["TargetGroupArn"]
        self.elb.register_targets(TargetGroupArn=self.group, Targets=[{"Id": "127.0.0.1"}])
        [made] = self.elb.create_load_balancer(
            Name=self.name, Type="network" if flows else "application",
            Subnets=[s["SubnetId"] for s in ec2.describe_subnets()["Subnets"]])["LoadBalancers"]
        self.arn = made["LoadBalancerArn"]
        more = {}
        if domain:
            self.certificate = wharf.client("acm").request_certificate(DomainName=domain)["CertificateArn"]
            more = {"Certificates": [{"CertificateArn": self.certificate}]}
        [listener] = self.elb.create_listener(
            LoadBalancerArn=self.arn, Protocol=protocol, Port=self.port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.group}], **more)["Listeners"]
        self.listener = listener["ListenerArn"]
        eventually(self.healthy, within=20)

    def healthy(self):
        [found] = self.elb.describe_target_health(TargetGroupArn=self.group)["TargetHealthDescriptions"]
        return found["TargetHealth"]["State"] == "healthy"

    def log(self, kind="access_logs", **changed):
        values = {"enabled": "true", "bucket": self.bucket, "prefix": self.prefix} | changed
        answer = self.elb.modify_load_balancer_attributes(LoadBalancerArn=self.arn, Attributes=[
            {"Key": f"{kind}.s3.{key}", "Value": value} for key, value in values.items()])
        return {a["Key"]: a["Value"] for a in answer["Attributes"] if a["Key"].startswith(kind)}

    def keys(self, ending=".log.gz"):
        found = self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return [entry["Key"] for entry in found if entry["Key"].endswith(ending)]

    def lines(self, part=""):
        """Every line of every object whose name has the part, in order."""
        bodies = (self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in self.keys() if part in key)
        return [line for body in bodies for line in gzip.decompress(body).decode().splitlines()]

    def entries(self):
        """In the order of their times: objects of one minute have none."""
        read = [dict(zip(FIELDS, shlex.split(line), strict=True)) for line in self.lines()]
        return sorted(read, key=lambda entry: entry["time"])

    def ask(self, *paths):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        for path in paths:
            link.request("GET", path, headers={"Host": "shop.test", "User-Agent": 'me "and" you'})
            link.getresponse().read()
        link.close()


def test_requests_are_in_the_bucket_as_aws_writes_them(wharf, target):
    balancer = Logged(wharf, target)
    with pytest.raises(botocore.exceptions.ClientError) as error:
        balancer.log()
    refusal = error.value.response["Error"]
    assert refusal["Code"] == "InvalidConfigurationRequest"
    assert refusal["Message"].startswith(f"Access Denied for bucket: {balancer.bucket}. Please check S3bucket permission")
    with pytest.raises(botocore.exceptions.ClientError) as error:
        balancer.log(prefix="x/AWSLogs")
    assert error.value.response["Error"]["Code"] == "ValidationError"
    balancer.s3.create_bucket(Bucket=balancer.bucket)
    assert balancer.log() == {"access_logs.s3.enabled": "true", "access_logs.s3.bucket": balancer.bucket,
                              "access_logs.s3.prefix": "edge/logs"}
    account = wharf.client("sts").get_caller_identity()["Account"]
    [shown] = balancer.keys("ELBAccessLogTestFile")
    assert shown == f"edge/logs/AWSLogs/{account}/ELBAccessLogTestFile"
    balancer.ask("/one?a=b", "/two")
    eventually(lambda: len(balancer.entries()) == 2, within=10)
    region = wharf.env["AWS_REGION"]
    short = balancer.arn.split(":loadbalancer/")[1]
    pattern = (rf"edge/logs/AWSLogs/{account}/elasticloadbalancing/{region}/\d{{4}}/\d\d/\d\d/{account}_elasticloadbalancing_"
               rf"{region}_{short.replace('/', '.')}_\d{{8}}T\d{{4}}Z_127\.0\.0\.1_[0-9a-f]{{8}}\.log\.gz")
    assert all(re.fullmatch(pattern, key) for key in balancer.keys()), balancer.keys()
    one, two = balancer.entries()
    assert (one["type"], one["elb"], one["elb_status"], one["target_status"]) == ("http", short, "200", "200")
    assert one["request"] == f"GET http://shop.test:{balancer.port}/one?a=b HTTP/1.1"
    assert one["agent"] == 'me "and" you' and one["group"] == balancer.group
    assert one["target"] == one["targets"] == f"127.0.0.1:{target}" and one["statuses"] == "200"
    assert int(one["received"]) > 60 and int(one["sent"]) > 60 and float(one["target_time"]) >= 0
    assert one["actions"] == "forward" and one["priority"] == "0" and one["trace"].startswith("Root=1-")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", one["time"])
    assert one["connection"] == two["connection"] and one["connection"].startswith("TID_")
    # What is malformed has an entry too; off is off, and the bucket keeps what it has.
    with socket.create_connection(("127.0.0.1", balancer.port)) as raw:
        raw.sendall(b"nonsense\r\n\r\n")
        raw.recv(1000)
    eventually(lambda: len(balancer.entries()) == 3, within=10)
    assert balancer.entries()[-1]["elb_status"] == "400" and balancer.entries()[-1]["classification"] == "Severe"
    balancer.log(enabled="false")
    balancer.ask("/three")
    with contextlib.suppress(AssertionError):
        eventually(lambda: len(balancer.entries()) > 3, within=3)
    assert len(balancer.entries()) == 3


def test_a_server_that_is_ended_leaves_no_entry_behind(tmp_path, target):
    with wharf_that_logs(tmp_path, 3600) as wharf:
        balancer = Logged(wharf, target, prefix="")
        balancer.s3.create_bucket(Bucket=balancer.bucket)
        balancer.log(prefix="")
        balancer.ask(*(f"/{n}" for n in range(500)))
        assert balancer.keys() == [], "an hour is not over"
        assert wharf.terminate() == 0
        wharf.start()
        asked = [entry["request"].split()[1] for entry in balancer.entries()]
        assert sorted(asked) == sorted(f"http://shop.test:{balancer.port}/{n}" for n in range(500))


def secure(port, name):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname=name) as link:
        link.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        while link.recv(1000):
            pass


def test_flows_of_tls_and_connections_are_told(wharf, target):
    flows = Logged(wharf, target, "TLS", "flow.test")
    flows.s3.create_bucket(Bucket=flows.bucket)
    flows.log()
    secure(flows.port, "flow.test")
    [line] = eventually(flows.lines, within=10)
    fields = line.split(" ")
    assert len(fields) == 22
    short = flows.arn.split(":loadbalancer/")[1]
    assert fields[:2] + fields[3:5] == ["tls", "2.0", short, flows.listener.rsplit("/", 1)[1]]
    assert fields[6] == f"127.0.0.1:{flows.port}" and int(fields[9]) == 54 and int(fields[10]) > 60
    assert fields[12] == flows.certificate and fields[15] == "tlsv12" and fields[17] == "flow.test"
    with pytest.raises(botocore.exceptions.ClientError) as error:
        flows.log("connection_logs")
    assert "connection_logs" in error.value.response["Error"]["Message"]

    web = Logged(wharf, target, "HTTPS", "web.test")
    web.s3.create_bucket(Bucket=web.bucket)
    web.log("connection_logs")
    assert web.keys("ELBConnectionLogTestFile")
    secure(web.port, "web.test")
    [line] = eventually(web.lines, within=10)
    fields = line.split(" ")
    assert fields[1] == "127.0.0.1" and fields[3:5] == [str(web.port), "TLSv1.2"]
    assert fields[10] == "Success" and fields[11].startswith("TID_")
    assert "/conn_log." in web.keys()[0]


def test_a_listener_whose_port_is_taken_after_a_restart_says_so(tmp_path, target):
    with wharf_that_logs(tmp_path, 300) as wharf:
        balancer = Logged(wharf, target)
        [other] = balancer.elb.create_listener(
            LoadBalancerArn=balancer.arn, Protocol="HTTP", Port=free_port(),
            DefaultActions=[{"Type": "forward", "TargetGroupArn": balancer.group}])["Listeners"]

        def state():
            [found] = balancer.elb.describe_load_balancers(LoadBalancerArns=[balancer.arn])["LoadBalancers"]
            return found["State"]

        assert state() == {"Code": "active"}
        wharf.kill()
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", balancer.port))
            taken.listen()
            wharf.start()
            impaired = eventually(lambda: state()["Code"] != "active" and state(), within=10)
            assert impaired["Code"] == "active_impaired"
            for words in (f"port {balancer.port} does not listen", "is taken", "choose another port"):
                assert words in impaired["Reason"], impaired
            balancer.elb.delete_listener(ListenerArn=other["ListenerArn"])
            assert state()["Code"] == "failed"
        eventually(lambda: state() == {"Code": "active"}, within=15)
        balancer.ask("/")
        told = wharf.log.read_text()
        assert told.count("A listener does not listen.") == 1, told[-3000:]
        assert told.count("A listener that had failed listens") == 1
