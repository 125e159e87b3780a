"""What a task sees at 169.254.170.2, and what it does not reach."""

import json
import re
import socket
import subprocess

import pytest

from lib import images
from lib.tasks import fresh, last, one
from lib.wait import eventually

TRUST = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]})

ASK = """
import json, os, socket, struct, time, urllib.error, urllib.request
def ask(url, method="GET", body=None):
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=4) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)
def reaches(host, port):
    try:
        socket.create_connection((host, port), timeout=2).close()
        return True
    except OSError:
        return False
def gateway():
    for line in open("/proc/net/route").read().splitlines()[1:]:
        words = line.split()
        if words[1] == "00000000":
            return socket.inet_ntoa(struct.pack("<L", int(words[2], 16)))
def say(name, value):
    print(name, json.dumps(value), flush=True)
env = os.environ
v4, v3, api = env["ECS_CONTAINER_METADATA_URI_V4"], env["ECS_CONTAINER_METADATA_URI"], env["ECS_AGENT_URI"]
"""


@pytest.fixture
def python(wharf):
    if "python" not in wharf.images:
        wharf.images["python"] = images.provide(wharf, "python")
    return "python"


@pytest.fixture
def role(wharf):
    iam, name = wharf.client("iam"), fresh("inside")
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    allow = {"Effect": "Allow", "Action": "ecs:*TaskProtection", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_role_policy(RoleName=name, PolicyName="protect", PolicyDocument=policy)
    yield arn
    iam.delete_role_policy(RoleName=name, PolicyName="protect")
    iam.delete_role(RoleName=name)


def container(tasks, python, text, **environment):
    pairs = [{"name": name, "value": value} for name, value in environment.items()]
    return tasks.container("-c", ASK + text, image=python, environment=pairs) | {
        "memory": 128, "stopTimeout": 2}  # As process 1, Python does not hear SIGTERM.


def said(lines, name):
    """What a script said under a name."""
    [line] = [line for line in lines if line.startswith(f"{name} ")]
    return json.loads(line.removeprefix(f"{name} "))


TELL = """
for name, url in [("v4", v4), ("task", v4 + "/task"), ("tags", v4 + "/taskWithTags"), ("v3", v3),
                  ("v3task", v3 + "/task"), ("v2", "http://169.254.170.2/v2/metadata")]:
    say(name, ask(url))
ask(v4 + "/stats"); time.sleep(1.2)
say("stats", ask(v4 + "/stats"))
say("all", ask(v4 + "/task/stats"))
say("fault", ask(api + "/fault/v1/network-latency/start", "POST", {}))
say("end", 0)
time.sleep(3600)
"""


def test_a_bridge_task_is_told_what_it_is(wharf, tasks, python):
    definition = tasks.define(
        container(tasks, python, TELL), tasks.container("on-term", 0, "forever", name="beside"),
        family=fresh("inside"), networkMode="bridge")
    arn = tasks.run(definition=definition, tags=[{"key": "team", "value": "blue"}])
    lines = tasks.prints(arn, "end 0", within=40)
    status, here = said(lines, "v4")
    assert status == 200
    family, revision = definition.rsplit("/", 1)[1].split(":")
    assert here["Name"] == "app" and here["DesiredStatus"] == here["KnownStatus"] == "RUNNING"
    assert here["Limits"] == {"CPU": 2, "Memory": 128}
    assert here["DockerName"].startswith(f"ecs-{family}-{revision}-app-")
    assert here["LogDriver"] == "awslogs" and here["Type"] == "NORMAL"
    [network] = here["Networks"]
    assert network["NetworkMode"] == "bridge" and len(network["IPv4Addresses"]) == 1
    described = tasks.describe(arn)
    assert here["ContainerARN"] == one(described)["containerArn"]

    status, task = said(lines, "task")
    assert status == 200
    assert (task["TaskARN"], task["Family"], task["Revision"]) == (arn, family, revision)
    assert {c["Name"] for c in task["Containers"]} <= {"app", "beside"}
    assert task["FaultInjectionEnabled"] is False and "EphemeralStorageMetrics" not in task
    assert said(lines, "tags")[1]["TaskTags"] == {"team": "blue"}
    assert "LogDriver" not in said(lines, "v3")[1] and "LaunchType" not in said(lines, "v3task")[1]
    assert said(lines, "v2")[1]["TaskARN"] == arn

    status, stats = said(lines, "stats")
    assert status == 200
    assert stats["cpu_stats"]["cpu_usage"]["total_usage"] >= stats["precpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert stats["memory_stats"]["limit"] == 128 << 20 and stats["memory_stats"]["usage"] > 0
    assert stats["networks"]["eth0"]["rx_bytes"] > 0 and "rx_bytes_per_sec" in stats["network_rate_stats"]
    assert said(lines, "all")[1][here["DockerId"]]["id"] == here["DockerId"]
    status, error = said(lines, "fault")
    assert status == 400 and "enableFaultInjection is not enabled" in error
    tasks.stop(arn)


PROTECT = """
state = api + "/task-protection/v1/state"
say("before", ask(state))
say("put", ask(state, "PUT", {"ProtectionEnabled": True, "ExpiresInMinutes": 30}))
say("wrong", ask(state, "PUT", {"ProtectionEnabled": True, "ExpiresInMinutes": 9999}))
say("end", 0)
time.sleep(3600)
"""


def test_a_task_protects_itself_and_is_not_scaled_in(wharf, tasks, python, role):
    definition = tasks.define(container(tasks, python, PROTECT), taskRoleArn=role)
    name = tasks.create_service(definition)
    task = eventually(lambda: tasks.ecs.list_tasks(serviceName=name)["taskArns"][0], within=30)
    lines = tasks.prints(task, "end 0", within=40)
    assert said(lines, "before") == [200, {"protection": {
        "ExpirationDate": None, "ProtectionEnabled": False, "TaskArn": task}}]
    status, answer = said(lines, "put")
    assert status == 200 and answer["protection"]["ProtectionEnabled"] is True
    status, error = said(lines, "wrong")
    assert status == 400 and "InvalidParameterException" in error
    [shown] = tasks.ecs.get_task_protection(cluster="default", tasks=[task])["protectedTasks"]
    assert shown["protectionEnabled"] is True
    tasks.ecs.update_service(service=name, desiredCount=0)
    # Were it not protected, it would be told to stop with this commit or the next.
    other = tasks.run("say", "x")
    tasks.stopped(other)
    assert tasks.describe(task)["desiredStatus"] == "RUNNING"
    tasks.ecs.update_task_protection(cluster="default", tasks=[task], protectionEnabled=False)
    tasks.stopped(task)
    tasks.remove(name)


WAIT = """
say("urls", [v4, v3, api, env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]])
say("own", ask("http://169.254.170.2" + env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"])[0])
time.sleep(3600)
"""

TRY = """
v4, v3, api, path = json.loads(env["VICTIM"])
say("v4", ask(v4)); say("task", ask(v4 + "/task")); say("v3", ask(v3)); say("stats", ask(v4 + "/stats"))
say("credentials", ask("http://169.254.170.2" + path))
say("protect", ask(api + "/task-protection/v1/state", "PUT", {"ProtectionEnabled": True}))
way = gateway()
say("api", reaches(way, int(env["API"])))
say("loopback", reaches("127.0.0.1", int(env["SECRET"])) or reaches(way, int(env["SECRET"])))
say("listener", [place for place in json.loads(env["LISTENERS"]) if reaches(*place)])
say("introspection", reaches(way, 51678) or reaches(way, 51679))
say("end", 0)
"""


def test_a_container_reaches_neither_another_tasks_endpoints_nor_the_host(wharf, tasks, python, role):
    victim = tasks.run(definition=tasks.define(container(tasks, python, WAIT), taskRoleArn=role))
    lines = tasks.prints(victim, "own ", within=40)
    assert said(lines, "own") == 200
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    led = re.findall(r"169\.254\.170\.2 tcp dport 80 .*dnat to ([0-9.]+):(\d+)", rules)
    places = [(address, int(port)) for address, port in led]
    assert places, "the packet filter leads tasks to their endpoints"
    with socket.socket() as secret:
        secret.bind(("127.0.0.1", 0))
        secret.listen()
        attacker = tasks.run(definition=tasks.define(container(
            tasks, python, TRY, VICTIM=json.dumps(said(lines, "urls")), API=str(wharf.port),
            SECRET=str(secret.getsockname()[1]), LISTENERS=json.dumps(places))))
        tasks.stopped(attacker, within=60)
    printed = tasks.prints(attacker, "end 0")
    for name, status in [("v4", 404), ("task", 404), ("v3", 500), ("stats", 404), ("credentials", 400), ("protect", 404)]:
        answer = said(printed, name)
        assert answer[0] == status, answer
        assert "ASIA" not in json.dumps(answer)
    for name in ["api", "loopback", "introspection"]:
        assert said(printed, name) is False, name
    assert said(printed, "listener") == []
    tasks.stop(victim)
