"""Volumes of Docker's volume plugins, on both runtimes; the plugin is the test's own."""

import http.server
import json
import os
import pathlib
import socketserver
import subprocess
import threading

import pytest

from conftest import prepared
from lib import server
from lib.tasks import Tasks, fresh, one
from lib.wait import eventually
from test_docker_runtime import there

PLUGINS = pathlib.Path("/run/docker/plugins")


class Plugin:
    """A volume driver whose volumes are folders with a tmpfs on each that is in use."""

    def __init__(self, root):
        self.name, self.root = fresh("plug"), root
        self.asked, self.users, self.lock = [], {}, threading.Lock()
        plugin = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}"
                with plugin.lock:
                    answer = plugin.answer(self.path, json.loads(body))
                text = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def address_string(self):
                return "plugin"

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

        PLUGINS.mkdir(parents=True, exist_ok=True)
        self.socket = PLUGINS / f"{self.name}.sock"
        self.server = Server(str(self.socket), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path, body):
        self.asked.append((path.rpartition(".")[2], body))
        name = body.get("Name")
        folder = self.root / name if name else None
        match path:
            case "/Plugin.Activate":
                return {"Implements": ["VolumeDriver"]}
            case "/VolumeDriver.Capabilities":
                return {"Capabilities": {"Scope": "local"}}
            case "/VolumeDriver.List":
                return {"Volumes": [{"Name": n} for n in self.users], "Err": ""}
            case "/VolumeDriver.Create":
                if (body.get("Opts") or {}).get("flavour") == "none":
                    return {"Err": "there is no such flavour"}
                folder.mkdir(exist_ok=True)
                self.users.setdefault(name, set())
                return {"Err": ""}
        if name not in self.users:
            return {"Err": f"no such volume: {name}"}
        match path:
            case "/VolumeDriver.Get":
                return {"Volume": {"Name": name, "Mountpoint": str(folder), "Status": {}}, "Err": ""}
            case "/VolumeDriver.Path":
                return {"Mountpoint": str(folder), "Err": ""}
            case "/VolumeDriver.Mount":
                if not self.users[name]:
                    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "plugged", folder], check=True)
                    (folder / "hello").write_text("from the plugin")
                self.users[name].add(body["ID"])
                return {"Mountpoint": str(folder), "Err": ""}
            case "/VolumeDriver.Unmount":
                self.users[name].discard(body["ID"])
                if not self.users[name]:
                    subprocess.run(["umount", "--lazy", folder], check=True)
                return {"Err": ""}
            case "/VolumeDriver.Remove":
                assert not self.users.pop(name)
                return {"Err": ""}
        return {"Err": f"{path} is not known"}

    def calls(self, what):
        return [body for asked, body in self.asked if asked == what]

    def forget(self):
        """Removes what is left from Docker Engine, which would ask for it after the plugin's end too."""
        for name in list(self.users):
            subprocess.run(["docker", "volume", "rm", "--force", name], check=True, capture_output=True)

    def close(self):
        self.server.shutdown()
        self.socket.unlink()
        for name, users in self.users.items():
            if users:
                subprocess.run(["umount", "--lazy", self.root / name])


@pytest.fixture(scope="module", params=["embedded", pytest.param("docker", marks=pytest.mark.docker)])
def plugged(request, tmp_path_factory):
    """A node of each runtime that was started beside a plugin."""
    if request.param == "docker" and not there():
        pytest.skip("no Docker Engine answers")
    if request.param == "docker" and not os.environ.get("E2E_DOCKER_PLUGINS"):
        pytest.skip("until it is restarted, Docker Engine waits 15 s for a plugin that is gone whenever "
                    "volumes are listed; set E2E_DOCKER_PLUGINS=1 where that does not matter")
    root = tmp_path_factory.mktemp("plugin")
    plugin = Plugin(root)
    flags = ["--runtime", "docker"] if request.param == "docker" else []
    try:
        with server.running(tmp_path_factory.mktemp("node") / "data", *flags) as wharf:
            wharf.images = prepared(wharf)
            tasks = Tasks(wharf, wharf.images)
            tasks.plugin = plugin
            yield tasks
            for arn in tasks.ecs.list_tasks(cluster="default")["taskArns"]:
                tasks.stop(arn)
    finally:
        if request.param == "docker":
            plugin.forget()
        plugin.close()


def volume(name, plugin, **more):
    return [{"name": name, "dockerVolumeConfiguration": {"driver": plugin.name, **more}}]


def reads(tasks, name, *command, **more):
    points = [{"sourceVolume": name, "containerPath": "/v"}]
    definition = tasks.define(
        tasks.container(*command, mountPoints=points), volumes=volume(name, tasks.plugin, **more))
    return tasks.run(definition=definition)


def test_the_node_tells_its_drivers(plugged):
    arns = plugged.ecs.list_container_instances(cluster="default")["containerInstanceArns"]
    instance, = plugged.ecs.describe_container_instances(
        cluster="default", containerInstances=arns)["containerInstances"]
    told = {attribute["name"] for attribute in instance["attributes"]}
    assert f"ecs.capability.docker-plugin.{plugged.plugin.name}" in told
    assert "ecs.capability.docker-plugin.local" in told


def test_a_task_s_own_volume_is_made_mounted_and_left(plugged):
    task = reads(plugged, "own", "read", "/v/hello", "write", "/v/a", "b", scope="task", driverOpts={"size": "1m"})
    assert one(plugged.stopped(task))["exitCode"] == 0
    plugged.prints(task, "from the plugin")
    plugin = plugged.plugin
    created = plugin.calls("Create")[-1]
    assert created["Opts"] == {"size": "1m"} and created["Name"].startswith("ecs-"), created
    used, = [body for body in plugin.calls("Mount") if body["Name"] == created["Name"]]
    left = eventually(lambda: [b for b in plugin.calls("Unmount") if b["Name"] == created["Name"]], within=30)
    assert left == [used], "as often as it was mounted, for the same user"
    eventually(lambda: {"Name": created["Name"]} in plugin.calls("Remove"), within=30)


def test_a_shared_volume_stays(plugged):
    name = fresh("shared")
    first = reads(plugged, name, "on-term", 0, "forever", scope="shared", autoprovision=True)
    plugged.running(first)
    second = reads(plugged, name, "write", "/v/note", "for all", "read", "/v/note", scope="shared", autoprovision=True)
    assert one(plugged.stopped(second))["exitCode"] == 0
    # By another definition that expects it to be there.
    third = reads(plugged, name, "read", "/v/note", scope="shared")
    assert one(plugged.stopped(third))["exitCode"] == 0
    plugged.prints(third, "for all")
    plugged.stop(first)
    plugin = plugged.plugin
    assert [body["Name"] for body in plugin.calls("Create")].count(name) == 1
    assert {"Name": name} not in plugin.calls("Remove")
    eventually(lambda: not plugin.users[name], within=30, what="nobody uses it any more")


def test_what_a_plugin_refuses_and_what_is_not_there_ends_the_task(plugged):
    task = reads(plugged, fresh("v"), "exit", 0, scope="shared", autoprovision=True, driverOpts={"flavour": "none"})
    assert "there is no such flavour" in plugged.stopped(task)["stoppedReason"]
    absent = fresh("absent")
    task = plugged.stopped(reads(plugged, absent, "exit", 0, scope="shared"))
    told = task["stoppedReason"] + json.dumps(task["containers"], default=str)
    assert absent in told, told


def test_a_driver_that_no_node_has_is_a_failure_of_placement(plugged):
    definition = plugged.define(
        plugged.container("exit", 0, mountPoints=[{"sourceVolume": "v", "containerPath": "/v"}]),
        volumes=[{"name": "v", "dockerVolumeConfiguration": {"driver": "nobody-has-it", "scope": "task"}}])
    [failure] = plugged.ecs.run_task(taskDefinition=definition)["failures"]
    assert failure["reason"] == "ATTRIBUTE" and "docker-plugin.nobody-has-it" in failure["detail"], failure
