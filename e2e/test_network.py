"""Bridge and host networking, static and dynamic ports."""

import urllib.request

import pytest

from lib import kernel
from lib.server import free_port
from lib.tasks import one, port_of
from lib.wait import eventually

INIT = {"linuxParameters": {"initProcessEnabled": True}}


def ask(port, path="/", host="127.0.0.1"):
    with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=30) as answer:
        return answer.read().decode()


def web(tasks, *ports, **more):
    mappings = [{"containerPort": inner, "hostPort": outer, "protocol": "tcp"} for inner, outer in ports]
    return tasks.container(image="hello", portMappings=mappings, **INIT, **more)


def test_a_dynamic_port_is_published(tasks):
    arn = tasks.run(definition=tasks.define(web(tasks, (8080, 0)), networkMode="bridge"))
    task = tasks.running(arn)
    port = port_of(task)
    assert 32768 <= port <= 65535
    [binding] = one(task)["networkBindings"]
    assert binding["bindIP"] == "0.0.0.0" and binding["protocol"] == "tcp"
    assert eventually(lambda: ask(port)).startswith("Hello from ")
    tasks.stop(arn)
    with pytest.raises(OSError):
        ask(port)


def test_a_static_port_is_published_and_kept_from_others(tasks, ecs):
    port = free_port()
    definition = tasks.define(web(tasks, (8080, port)), networkMode="bridge")
    arn = tasks.run(definition=definition)
    tasks.running(arn)
    assert "Hello" in eventually(lambda: ask(port))
    answer = ecs.run_task(taskDefinition=definition)
    assert answer["tasks"] == []
    assert answer["failures"][0]["reason"] == "RESOURCE:PORTS"
    assert str(port) in answer["failures"][0]["detail"]
    tasks.stop(arn)
    again = tasks.run(definition=definition)
    tasks.running(again)
    assert "Hello" in eventually(lambda: ask(port))


def test_two_tasks_of_one_definition_get_ports_of_their_own(tasks):
    arns = tasks.run(definition=tasks.define(web(tasks, (8080, 0))), count=2)
    tasks.running(*arns)
    ports = {port_of(tasks.describe(arn)) for arn in arns}
    assert len(ports) == 2
    assert len({eventually(lambda p=port: ask(p)) for port in ports}) == 2  # Each says its own host name.


def test_ports_are_reached_by_the_machines_own_addresses_too(tasks):
    arn = tasks.run(definition=tasks.define(web(tasks, (8080, 0))))
    port = port_of(tasks.running(arn))
    addresses = kernel.output("hostname", "-I").split()
    mine = next((a for a in addresses if "." in a), "127.0.0.1")
    assert "Hello" in eventually(lambda: ask(port, host=mine))
    assert "Hello" in ask(port, host="localhost")


def test_host_mode_uses_the_machines_ports(tasks):
    port = free_port()
    environment = [{"name": "PORT", "value": str(port)}]
    definition = tasks.define(web(tasks, (port, port), environment=environment), networkMode="host")
    arn = tasks.run(definition=definition)
    task = tasks.running(arn)
    assert "Hello" in eventually(lambda: ask(port))
    assert port_of(task, port) == port


def test_containers_reach_the_machine_and_one_another_over_published_ports(tasks):
    server = tasks.run(definition=tasks.define(web(tasks, (8080, 0))))
    port = port_of(tasks.running(server))
    eventually(lambda: ask(port))
    mine = next(a for a in kernel.output("hostname", "-I").split() if "." in a)
    printed = tasks.output("fetch", f"{mine}:{port}")
    assert any(line.startswith("fetched Hello from") for line in printed), printed


def test_none_has_no_network(tasks):
    arn = tasks.run(definition=tasks.define(tasks.container("fetch", "10.0.0.1:80", "read", "/proc/net/dev", "say", "(end)"), networkMode="none"))
    tasks.stopped(arn)
    lines = "\n".join(tasks.prints(arn, "(end)")).splitlines()
    assert [line.split(":")[0].strip() for line in lines if ":" in line and "eth" in line] == []


def test_extra_hosts_and_dns_are_written(tasks):
    printed = "\n".join(tasks.output(
        "read", "/etc/hosts", "read", "/etc/resolv.conf", "read", "/etc/hostname", hostname="box",
        extraHosts=[{"hostname": "db.internal", "ipAddress": "10.1.2.3"}],
        dnsServers=["9.9.9.9"], dnsSearchDomains=["corp.example"]))
    assert "10.1.2.3" in printed and "db.internal" in printed
    assert "nameserver 9.9.9.9" in printed and "search corp.example" in printed
    assert "box" in printed
