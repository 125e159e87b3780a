"""`wharf agent` by itself: a second node of a server's cluster, as on another machine."""

import signal
import subprocess
import time

from lib import server
from lib.tasks import Tasks
from lib.wait import eventually


def test_a_node_apart_joins_runs_tasks_and_leaves(wharf, ecs, name, tmp_path):
    ecs.create_cluster(clusterName=name)
    tasks = Tasks(wharf, wharf.images, cluster=name)
    node = server.Wharf(tmp_path / "node")
    command = [server.BINARY, "agent", "--data-dir", node.data, "--cluster", name, "--attribute", "rack=12"]
    with open(node.log, "ab") as log:
        node.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=server.environment(**wharf.env), start_new_session=True)
    try:
        arn, = eventually(
            lambda: ecs.list_container_instances(cluster=name)["containerInstanceArns"], what="the node joins")

        def connected():
            found, = ecs.describe_container_instances(cluster=name, containerInstances=[arn])["containerInstances"]
            return found if found["agentConnected"] else None

        instance = eventually(connected, what="its session stands")
        assert {"name": "rack", "value": "12"}.items() <= next(
            a for a in instance["attributes"] if a["name"] == "rack").items()
        task = tasks.run("on-term", 0, "forever")
        assert tasks.running(task)["containerInstanceArn"] == arn
        assert len(node.containers()) == 1
        # Its end is not the task's: the next agent finds the task again.
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(timeout=120) == 0
        eventually(lambda: not connected(), what="its session has ended")
        assert len(node.containers()) == 1
        assert tasks.describe(task)["lastStatus"] == "RUNNING"
    finally:
        known = node.processes()
        node.down()
        time.sleep(0.2)
        left = node.leftovers(known)
    assert not left, left
    assert ecs.deregister_container_instance(cluster=name, containerInstance=arn, force=True)
    assert tasks.describe(task)["lastStatus"] == "STOPPED"
    assert ecs.delete_cluster(cluster=name)["cluster"]["status"] == "INACTIVE"
