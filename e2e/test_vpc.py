"""Tasks with an address of their own (awsvpc): what they are told, who reaches them, what is refused, what is left."""

import json
import re
import signal
import socket
import urllib.request

import botocore.exceptions
import pytest

from lib import images, kernel, server
from lib.balanced import Front, Load, deployed
from lib.tasks import Tasks, last, one
from lib.wait import eventually

PROGRAM = """
import json, os, socket, subprocess, sys, time, urllib.request
def ask(url):
    with urllib.request.urlopen(url, timeout=4) as answer:
        return answer.read().decode()
def say(name, value):
    print(name, json.dumps(value), flush=True)
if sys.argv[1] == "serve":
    listener = socket.create_server(("0.0.0.0", 9100))
    while True:
        link, peer = listener.accept()
        link.sendall(peer[0].encode())
        link.close()
v4 = os.environ["ECS_CONTAINER_METADATA_URI_V4"]
say("v4", json.loads(ask(v4)))
say("v3", json.loads(ask(os.environ["ECS_CONTAINER_METADATA_URI"])))
say("v2", json.loads(ask("http://169.254.170.2/v2/metadata"))["TaskARN"])
say("host", socket.gethostname())
say("hosts", open("/etc/hosts").read())
say("resolv", open("/etc/resolv.conf").read())
say("self", socket.gethostbyname(socket.gethostname()))
def neighbour(host):
    for _ in range(40):
        try:
            with socket.create_connection((host, 9100), timeout=2) as link:
                return link.recv(64).decode()
        except OSError:
            time.sleep(0.1)
say("neighbour", neighbour("127.0.0.1"))
say("own", neighbour(socket.gethostname()))
for peer in sys.argv[2:]:
    say("peer", neighbour(peer))
"""


@pytest.fixture
def python(wharf):
    if "python" not in wharf.images:
        wharf.images["python"] = images.provide(wharf, "python")
    return "python"


@pytest.fixture(scope="session")
def subnets(wharf):
    found = wharf.client("ec2").describe_subnets()["Subnets"]
    return {s["SubnetId"]: s for s in found}


@pytest.fixture
def network(subnets):
    return config(*subnets)


def config(*subnets, **more):
    return {"awsvpcConfiguration": {"subnets": list(subnets), **more}}


def web(tasks, version=0, family=None, **more):
    container = tasks.container(
        image="web", portMappings=[{"containerPort": 8080}],
        environment=[{"name": "VERSION", "value": str(version)}], **more)
    return tasks.define(container, family=family, networkMode="awsvpc")


def address(task):
    [interface] = one(task)["networkInterfaces"]
    return interface["privateIpv4Address"]


def get(host, path="/", port=8080):
    with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=30) as answer:
        return answer.status, answer.read().decode()


def routes():
    return kernel.output(kernel.tool("ip"), "-4", "route")


def free(wharf, subnet):
    [found] = wharf.client("ec2").describe_subnets(SubnetIds=[subnet])["Subnets"]
    return found["AvailableIpAddressCount"]


def test_a_task_has_an_address_of_a_subnet_for_its_own(wharf, tasks, subnets):
    subnet = next(iter(subnets))
    before = free(wharf, subnet)
    arn = tasks.run(definition=web(tasks), networkConfiguration=config(subnet))
    task = tasks.running(arn)
    [attachment] = task["attachments"]
    assert attachment["type"] == "ElasticNetworkInterface" and attachment["status"] == "ATTACHED"
    details = {d["name"]: d["value"] for d in attachment["details"]}
    assert set(details) == {"subnetId", "networkInterfaceId", "macAddress", "privateDnsName", "privateIPv4Address"}
    where = details["privateIPv4Address"]
    assert details["subnetId"] == subnet
    assert re.fullmatch(r"eni-0[0-9a-f]{16}", details["networkInterfaceId"])
    assert details["privateDnsName"] == f"ip-{where.replace('.', '-')}.ec2.internal"
    assert one(task)["networkInterfaces"] == [{"attachmentId": attachment["id"], "privateIpv4Address": where}]
    assert one(task)["networkBindings"] == []
    assert free(wharf, subnet) == before - 1
    status, body = eventually(lambda: get(where))
    assert status == 200 and body.startswith("0 ")
    interfaces = wharf.client("ec2").describe_network_interfaces(
        Filters=[{"Name": "private-ip-address", "Values": [where]}])["NetworkInterfaces"]
    assert [i["NetworkInterfaceId"] for i in interfaces] == [details["networkInterfaceId"]]
    assert interfaces[0]["MacAddress"] == details["macAddress"]
    assert f"{where} dev" in routes()
    over = tasks.stop(arn)
    assert over["attachments"][0]["status"] == "DELETED"
    assert free(wharf, subnet) == before
    eventually(lambda: f"{where} dev" not in routes())
    with pytest.raises(OSError):
        get(where)


def test_containers_share_it_and_are_told_of_it(tasks, network, python):
    peer = tasks.running(tasks.run(definition=tasks.define(
        tasks.container("-c", PROGRAM, "serve", image=python), networkMode="awsvpc"), networkConfiguration=network))
    definition = tasks.define(
        tasks.container("-c", PROGRAM, "tell", address(peer), image=python, memory=64),
        tasks.container("-c", PROGRAM, "serve", image=python, name="beside", memory=64, essential=False,
                        portMappings=[{"containerPort": 9100, "hostPort": 9100}]),
        networkMode="awsvpc")
    task = tasks.stopped(tasks.run(definition=definition, networkConfiguration=network))
    assert one(task)["exitCode"] == 0, (one(task), tasks.printed(task["taskArn"]))
    told = dict(line.split(" ", 1) for line in tasks.prints(task["taskArn"], "peer"))
    told = {name: json.loads(value) for name, value in told.items()}
    details = {d["name"]: d["value"] for d in task["attachments"][0]["details"]}
    where, dns = details["privateIPv4Address"], details["privateDnsName"]
    [v3], [v4] = told["v3"]["Networks"], told["v4"]["Networks"]
    assert v3 == {"NetworkMode": "awsvpc", "IPv4Addresses": [where]}
    assert v4["MACAddress"] == details["macAddress"] and v4["PrivateDNSName"] == dns
    assert v4["IPv4SubnetCIDRBlock"].endswith("/20") and v4["AttachmentIndex"] == 0
    assert told["v2"] == task["taskArn"]
    assert told["host"] == dns and told["self"] == where
    assert f"{where}\t{dns}" in told["hosts"] and "nameserver" in told["resolv"]
    assert told["neighbour"] == "127.0.0.1" and told["own"] == where, "localhost is the task's"
    assert told["peer"] == where, "another task sees who asks"


def test_two_subnets_and_no_address_twice(tasks, subnets, network):
    arns = tasks.run(definition=web(tasks), count=5, networkConfiguration=network)
    tasks.running(*arns)
    places = [address(tasks.describe(arn)) for arn in arns]
    assert len(set(places)) == 5
    assert all(get(place)[0] == 200 for place in places), "the same port, five times"


def test_what_ecs_refuses_is_refused(tasks, ecs, wharf, subnets, network):
    own, bridged = web(tasks), tasks.define(tasks.container("forever"))
    subnet = next(iter(subnets))
    for definition, given, words in [
        (own, {}, "Network Configuration must be provided when networkMode 'awsvpc' is specified."),
        (bridged, {"networkConfiguration": network}, "Network Configuration is not valid for the given networkMode"),
        (own, {"networkConfiguration": config("subnet-0000")}, "The subnet ID 'subnet-0000' does not exist"),
        (own, {"networkConfiguration": config(subnet, securityGroups=["sg-1"])}, "security group 'sg-1' does not exist"),
        (own, {"networkConfiguration": config(subnet, securityGroups=[f"sg-{n}" for n in range(6)])}, "at most 5"),
        (own, {"networkConfiguration": config(*[f"subnet-{n}" for n in range(17)])}, "at most 16"),
        (own, {"networkConfiguration": config(subnet, assignPublicIp="ENABLED")}, "not supported for this launch type"),
        (own, {"networkConfiguration": config()}, "subnets can not be empty"),
    ]:
        with pytest.raises(botocore.exceptions.ClientError, match=re.escape(words)) as error:
            ecs.run_task(taskDefinition=definition, **given)
        assert error.value.response["Error"]["Code"] == "InvalidParameterException"
        with pytest.raises(botocore.exceptions.ClientError, match=re.escape(words)):
            ecs.create_service(serviceName="no", taskDefinition=definition, desiredCount=1, **given)
    for members, words in [
        ({"portMappings": [{"containerPort": 80, "hostPort": 81}]}, "When networkMode=awsvpc, the host ports and container ports"),
        ({"hostname": "a"}, "Hostname is not supported"),
        ({"links": ["b"]}, "Links are not supported when networkMode=awsvpc"),
        ({"extraHosts": [{"hostname": "a", "ipAddress": "10.0.0.1"}]}, "Extra hosts are not supported"),
    ]:
        with pytest.raises(botocore.exceptions.ClientError, match=words):
            tasks.define(tasks.container("forever", **members), networkMode="awsvpc")


def test_a_restart_of_the_server_keeps_tasks_and_addresses(own, own_tasks):
    tasks = own_tasks
    network = config(*[s["SubnetId"] for s in own.client("ec2").describe_subnets()["Subnets"]])
    arn = tasks.run(definition=web(tasks), networkConfiguration=network)
    where = address(tasks.running(arn))
    eventually(lambda: get(where))
    own.kill()
    assert get(where)[0] == 200, "the task goes on alone"
    own.start()
    assert get(where)[0] == 200
    task = tasks.until(arn, lambda t: t["connectivity"] == "CONNECTED")
    assert address(task) == where
    second = tasks.run(definition=web(tasks), networkConfiguration=network)
    assert get(eventually(lambda: address(tasks.running(second))))[0] == 200
    tasks.stop(arn)
    eventually(lambda: f"{where} dev" not in routes())
    other = address(tasks.describe(second))
    own.down()
    assert f"{other} dev" not in routes(), "what is left is taken down"
    own.start()


def test_another_block_of_addresses(tmp_path):
    with server.running(tmp_path / "data", "--vpc-cidr", "10.213.0.0/20") as wharf:
        wharf.images = {"web": images.provide(wharf, "web")}
        wharf.client("logs").create_log_group(logGroupName="/e2e")
        found = sorted(wharf.client("ec2").describe_subnets()["Subnets"], key=lambda s: s["AvailabilityZone"])
        assert [s["CidrBlock"] for s in found] == ["10.213.0.0/24", "10.213.1.0/24", "10.213.2.0/24"]
        tasks = Tasks(wharf, wharf.images)
        task = tasks.running(tasks.run(definition=web(tasks), networkConfiguration=config(found[1]["SubnetId"])))
        assert address(task).startswith("10.213.1.")
        assert eventually(lambda: get(address(task)))[0] == 200
        tasks.stop(task["taskArn"])


@pytest.fixture
def front(wharf):
    return Front(wharf, targets="ip")


def states(front):
    found = front.elb.describe_target_health(TargetGroupArn=front.group)["TargetHealthDescriptions"]
    return {(t["Target"]["Id"], t["Target"]["Port"]): t["TargetHealth"]["State"] for t in found}


def healthy(front, count):
    eventually(lambda: list(states(front).values()) == ["healthy"] * count, within=40, what=f"{count} healthy targets")


def test_a_service_of_ip_targets_is_deployed_under_load(wharf, tasks, ecs, front, network, name):
    tcp = Front(wharf, "network", targets="ip")
    front.delay(5)
    tcp.delay(5)
    tasks.create_service(web(tasks, 1, family=name), 2, name, networkConfiguration=network,
                         loadBalancers=[front.behind(), tcp.behind()])
    healthy(front, 2)
    healthy(tcp, 2)
    service = tasks.stable(name)
    shown = service["networkConfiguration"]["awsvpcConfiguration"]
    assert shown == {"subnets": network["awsvpcConfiguration"]["subnets"], "securityGroups": [], "assignPublicIp": "DISABLED"}
    assert service["deployments"][0]["networkConfiguration"] == service["networkConfiguration"]
    there = {(address(t), 8080) for t in tasks.of_service(name)}
    assert set(states(front)) == set(states(tcp)) == there
    # A connection that is kept lies on one target, whose end it does not outlive.
    with Load(front) as load, Load(tcp, kept=0) as plain:
        for version in (2, 3):
            load.goes_on()
            plain.goes_on()
            ecs.update_service(service=name, taskDefinition=web(tasks, version, family=name))
            deployed(tasks, name, within=90)
            load.goes_on()
            plain.goes_on()
    assert (load.lost, plain.lost) == ([], [])
    assert load.versions() == {"1", "2", "3"} and "3" in plain.versions()
    assert not set(states(front)) & there


def test_network_and_targets_must_fit(tasks, ecs, wharf, front, network, name):
    instances = Front(wharf)
    with pytest.raises(botocore.exceptions.ClientError, match="target type instance, which is incompatible with the awsvpc"):
        tasks.create_service(web(tasks), 1, name, networkConfiguration=network, loadBalancers=[instances.behind()])
    bridged = tasks.define(tasks.container(image="web", portMappings=[{"containerPort": 8080, "hostPort": 0}]))
    with pytest.raises(botocore.exceptions.ClientError, match="target type ip, which is incompatible with the bridge"):
        tasks.create_service(bridged, 1, name, loadBalancers=[front.behind()])
    tasks.create_service(bridged, 1, name)
    with pytest.raises(botocore.exceptions.ClientError, match="Network Configuration must be provided"):
        ecs.update_service(service=name, taskDefinition=web(tasks))
    ecs.update_service(service=name, taskDefinition=web(tasks), networkConfiguration=network)
    deployed(tasks, name)
    [task] = tasks.of_service(name)
    assert eventually(lambda: get(address(task)))[0] == 200
    instances.remove()


def test_a_task_set_by_hand_as_a_target(wharf, tasks, front, network):
    task = tasks.running(tasks.run(definition=web(tasks, 5), networkConfiguration=network))
    target = {"Id": address(task), "Port": 8080}
    front.elb.register_targets(TargetGroupArn=front.group, Targets=[target])
    healthy(front, 1)
    assert front.get()[1].startswith("5 ")
