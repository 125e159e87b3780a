"""Services behind load balancers: reachable at once, drained before they stop, replaced when they fail."""

import http.client
import shutil
import socket
import subprocess
import threading

import botocore.exceptions
import pytest

from lib.balanced import Front, Load, deployed, ports_of, web
from lib.tasks import Tasks, last
from lib.wait import eventually


@pytest.fixture
def front(wharf):
    """An application load balancer; services are gone before it is."""
    return Front(wharf)


def serve(tasks, name, definition, count, *members, **more):
    tasks.create_service(definition, count, name, loadBalancers=list(members), **more)


def ask(port, path):
    """Asks one task past its load balancer."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    link.request("GET", path)
    return link.getresponse().status


def test_a_service_is_reached_by_its_balancer(tasks, front, name):
    assert front.host.endswith(".elb.localhost")
    assert front.get()[0] == 503, "nobody serves yet, and the balancer says so"
    serve(tasks, name, web(tasks, 1), 2, front.behind(), healthCheckGracePeriodSeconds=30)
    eventually(lambda: front.get()[0] == 200, within=20)
    front.healthy(2)
    assert sorted(ports_of(tasks, name).values()) == sorted(front.states())
    assert {front.get()[1] for _ in range(8)} == {f"1 {host}" for host in hosts(front)}
    service = tasks.stable(name)
    assert service["loadBalancers"] == [front.behind()]
    assert service["healthCheckGracePeriodSeconds"] == 30
    assert service["roleArn"].endswith("/AWSServiceRoleForECS")
    tasks.told(name, f"registered 1 targets in (target-group {front.group})")
    eventually(lambda: "steady state" in tasks.events(name)[0])
    if curl := shutil.which("curl"):
        url = f"http://{front.host}:{front.port}/"
        told = subprocess.run([curl, "-sS", "--max-time", "5", url], capture_output=True, text=True)
        assert told.returncode == 0 and told.stdout.startswith("1 "), told.stderr


def hosts(front):
    return {front.get()[1].split()[1] for _ in range(8)}


def test_scaling_in_drains_what_was_begun(tasks, ecs, front, name):
    front.delay(30)
    serve(tasks, name, web(tasks), 1, front.behind())
    front.healthy(1)
    [task] = tasks.of_service(name)
    answers = []
    slow = threading.Thread(target=lambda: answers.append(front.get("/wait?3000")))
    slow.start()
    eventually(lambda: slow.is_alive() and front.get()[0] == 200)
    ecs.update_service(service=name, desiredCount=0)
    eventually(lambda: tasks.status_of(task["taskArn"]) == "DEACTIVATING", within=5)
    assert list(front.states().values()) == ["draining"]
    slow.join(timeout=90)
    assert answers and answers[0][0] == 200, answers
    over = tasks.stopped(task["taskArn"])
    assert over["stopCode"] == "ServiceSchedulerInitiated"
    assert front.states() == {}
    for words in (f"deregistered 1 targets in (target-group {front.group})",
                  "has begun draining connections on 1 tasks.", f"has stopped 1 running tasks: (task {last(task['taskArn'])})"):
        tasks.told(name, words)


def test_a_deployment_under_load_loses_no_request(tasks, ecs, front, name):
    front.delay(10)
    serve(tasks, name, web(tasks, 1, family=name), 2, front.behind())
    front.healthy(2)
    tasks.stable(name)
    with Load(front) as load:
        for version in (2, 3):
            load.goes_on()
            ecs.update_service(service=name, taskDefinition=web(tasks, version, family=name))
            deployed(tasks, name)
            load.goes_on()
    assert load.lost == []
    assert load.versions() == {"1", "2", "3"}
    front.healthy(2)


def test_a_killed_task_costs_no_more_than_it_had(tasks, wharf, front, name):
    serve(tasks, name, web(tasks), 2, front.behind())
    front.healthy(2)
    victim = sorted(ports_of(tasks, name))[0]
    with Load(front) as load:
        load.goes_on()
        for process in wharf.containers(victim):
            process.kill()
        load.goes_on(200)
        eventually(lambda: victim not in ports_of(tasks, name) and len(ports_of(tasks, name)) == 2)
        front.healthy(2)
        load.goes_on()
    assert len(load.lost) <= len(load.threads), load.lost


def test_a_task_whose_target_fails_is_replaced(tasks, front, name):
    serve(tasks, name, web(tasks), 2, front.behind())
    front.healthy(2)
    before = ports_of(tasks, name)
    sick, port = sorted(before.items())[0]
    with Load(front) as load:
        assert ask(port, "/sick") == 200
        over = tasks.stopped(sick, within=60)
        front.healthy(2)
    assert over["stoppedReason"] == f"Task failed ELB health checks in (target-group {front.group})"
    assert over["stopCode"] == "ServiceSchedulerInitiated"
    tasks.told(name, f"(port {port}) is unhealthy in (target-group {front.group}) due to (reason Health checks failed with these codes: [503])")
    assert load.lost == []


def test_the_time_of_grace_spares_what_fails(tasks, ecs, front, name):
    serve(tasks, name, web(tasks, SICK=1), 1, front.behind(), healthCheckGracePeriodSeconds=3600)
    eventually(lambda: list(front.states().values()) == ["unhealthy"], within=40)
    [task] = tasks.of_service(name)
    assert task["lastStatus"] == "RUNNING"
    service = tasks.service(name)
    assert service["deployments"][0]["rolloutState"] == "IN_PROGRESS", "it is not healthy all the same"
    ecs.update_service(service=name, healthCheckGracePeriodSeconds=0)
    eventually(lambda: last(task["taskArn"]) not in {last(t["taskArn"]) for t in tasks.of_service(name)}
               or "is unhealthy in" in " ".join(tasks.events(name)) or len(tasks.of_service(name)) > 1, within=20)


def test_two_groups_and_plain_tcp(wharf, tasks, front, name):
    tcp = Front(wharf, "network")
    serve(tasks, name, web(tasks, 7, ports=(8080, 9000), TCP_PORT=9000), 2, front.behind(), tcp.behind(9000))
    front.healthy(2)
    tcp.healthy(2)
    assert not set(front.states()) & set(tcp.states()), "each port is a target of its own"
    assert front.get()[1].startswith("7 ")
    with socket.create_connection(("127.0.0.1", tcp.port), timeout=30) as link:
        stream = link.makefile("rw")
        assert stream.readline().startswith("7 ")
        stream.write("there and back\n")
        stream.flush()
        assert stream.readline() == "there and back\n"


def test_a_killed_server_takes_nothing_out(own, own_tasks, name):
    front = Front(own)
    serve(own_tasks, name, web(own_tasks, 1), 2, front.behind())
    front.healthy(2)
    eventually(lambda: "steady state" in own_tasks.events(name)[0])
    before, events = ports_of(own_tasks, name), own_tasks.events(name)
    own.kill()
    own.start()
    eventually(lambda: answers(front), within=20, what="traffic after the restart")
    with Load(front) as load:
        load.goes_on(200)
        front.healthy(2)
        load.goes_on(200)
    assert load.lost == []
    assert ports_of(own_tasks, name) == before
    assert own_tasks.events(name) == events, "nothing was registered, deregistered or replaced"


def answers(front):
    try:
        return front.get()[0] == 200
    except OSError:
        return False


def test_what_cannot_be_a_target_is_refused_as_ecs_does(wharf, tasks, ecs, front, name):
    loose = wharf.client("elbv2").create_target_group(
        Name=name, Protocol="HTTP", Port=80, TargetType="instance",
        VpcId=wharf.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"])["TargetGroups"][0]["TargetGroupArn"]
    gone = front.group[:-4] + "0000"
    definition = web(tasks)
    for target, says in (
            ({**front.behind(), "targetGroupArn": loose}, f"The target group with targetGroupArn {loose} does not have an associated load balancer."),
            ({**front.behind(), "targetGroupArn": gone}, "not found"),
            (front.behind(container="db"), "The container db does not exist in the task definition."),
            (front.behind(9), "The container app did not have a container port 9 defined."),
            ({"loadBalancerName": "old", "containerName": "app", "containerPort": 8080}, "Classic Load Balancers")):
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            serve(tasks, name, definition, 1, target)
        error = refused.value.response["Error"]
        assert error["Code"] == "InvalidParameterException" and says in error["Message"], error
