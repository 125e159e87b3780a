"""Task definitions and tasks, as short as tests want them."""

import json
import uuid

from .wait import PATIENCE, eventually

GROUP = "/e2e"


def fresh(prefix="t"):
    """A name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def patience(seconds):
    """For botocore's waiters: what is asked stays theirs, only the pause is shorter."""
    return {"Delay": 0.2, "MaxAttempts": seconds * 5 * PATIENCE}


def last(arn):
    """The id at an ARN's end."""
    return arn.rpartition("/")[2]


class Tasks:
    """Registers, runs and looks at tasks in one cluster."""

    def __init__(self, wharf, images, cluster="default"):
        self.wharf, self.images, self.cluster = wharf, images, cluster
        self.ecs, self.logs = wharf.client("ecs"), wharf.client("logs")

    # --- Definitions ------------------------------------------------------------------------------

    def container(self, *command, name="app", image="probe", **more):
        """A container of the probe (or hello) program that logs to CloudWatch Logs."""
        options = {"awslogs-group": GROUP, "awslogs-region": self.wharf.env["AWS_REGION"], "awslogs-stream-prefix": "t"}
        logging = {"logConfiguration": {"logDriver": "awslogs", "options": options}}
        words = {"command": list(map(str, command))} if command else {}
        return {"name": name, "image": self.images.get(image, image), "memory": 32} | words | logging | more

    def define(self, *containers, family=None, **more):
        """Registers a task definition; returns its ARN."""
        answer = self.ecs.register_task_definition(
            family=family or fresh(), containerDefinitions=list(containers), **more)
        return answer["taskDefinition"]["taskDefinitionArn"]

    # --- Tasks ------------------------------------------------------------------------------------

    def run(self, *command, definition=None, count=1, **more):
        """Runs a task of the definition, or of one probe container; returns its ARN."""
        definition = definition or self.define(self.container(*command))
        answer = self.ecs.run_task(
            cluster=self.cluster, taskDefinition=definition, count=count, **more)
        assert not answer["failures"], answer["failures"]
        arns = [task["taskArn"] for task in answer["tasks"]]
        assert len(arns) == count
        return arns[0] if count == 1 else arns

    def describe(self, task):
        answer = self.ecs.describe_tasks(cluster=self.cluster, tasks=[task])
        assert not answer["failures"], answer["failures"]
        return answer["tasks"][0]

    def running(self, *tasks):
        """Waits by botocore's own waiter; returns the (first) task."""
        self.ecs.get_waiter("tasks_running").wait(
            cluster=self.cluster, tasks=list(tasks), WaiterConfig=patience(40))
        return self.describe(tasks[0])

    def stopped(self, *tasks, within=40):
        """Waits by botocore's own waiter; returns the (first) task."""
        self.ecs.get_waiter("tasks_stopped").wait(
            cluster=self.cluster, tasks=list(tasks), WaiterConfig=patience(within))
        return self.describe(tasks[0])

    def stop(self, task, reason=None):
        """Stops it and waits until it is over."""
        more = {"reason": reason} if reason else {}
        self.ecs.stop_task(cluster=self.cluster, task=task, **more)
        return self.stopped(task)

    def finish(self, *containers, **more):
        """Defines, runs, and waits for the end; returns the task."""
        return self.stopped(self.run(definition=self.define(*containers, **more)))

    def status_of(self, task):
        return self.describe(task)["lastStatus"]

    def until(self, task, look, **more):
        """Waits until `look` is true of the task, and returns the task."""
        def there():
            found = self.describe(task)
            return found if look(found) else None
        return eventually(there, what=f"task {last(task)}", **more)

    def left(self):
        """What the machine has left for tasks, once none is there any more that was told to stop."""
        def idle():
            arns = self.ecs.list_container_instances(cluster=self.cluster)["containerInstanceArns"]
            [instance] = self.ecs.describe_container_instances(
                cluster=self.cluster, containerInstances=arns)["containerInstances"]
            wanted = len(self.ecs.list_tasks(cluster=self.cluster)["taskArns"])
            busy = instance["runningTasksCount"] + instance["pendingTasksCount"]
            return instance["remainingResources"] if busy == wanted else None
        return {r["name"]: r.get("integerValue") for r in eventually(idle, within=40)}

    # --- What it printed --------------------------------------------------------------------------

    def printed(self, task, container="app"):
        """Every line so far of a container."""
        lines, token = [], None
        while True:
            more = {"nextToken": token} if token else {}
            try:
                page = self.logs.get_log_events(
                    logGroupName=GROUP, logStreamName=f"t/{container}/{last(task)}", startFromHead=True, **more)
            except self.logs.exceptions.ResourceNotFoundException:
                return lines
            lines += [event["message"] for event in page["events"]]
            if page["nextForwardToken"] == token:
                return lines
            token = page["nextForwardToken"]

    def prints(self, task, line, container="app", **more):
        """Waits until a line has been printed; returns all."""
        def there():
            lines = self.printed(task, container)
            assert any(line in one for one in lines), f"{line!r} is not in {lines}"
            return lines
        return eventually(there, **more)

    def output(self, *command, definition=None, **container):
        """What a probe prints that runs to its end."""
        definition = definition or self.define(self.container(*command, "say", "(end)", **container))
        task = self.run(definition=definition)
        self.stopped(task)
        return self.prints(task, "(end)")

    # --- Services ---------------------------------------------------------------------------------

    def service(self, name):
        answer = self.ecs.describe_services(cluster=self.cluster, services=[name])
        assert not answer["failures"], answer["failures"]
        return answer["services"][0]

    def create_service(self, definition, count=1, name=None, **more):
        name = name or fresh("s")
        self.ecs.create_service(
            cluster=self.cluster, serviceName=name, taskDefinition=definition, desiredCount=count, **more)
        return name

    def stable(self, name, within=60):
        """Waits by botocore's own waiter; returns the service."""
        self.ecs.get_waiter("services_stable").wait(
            cluster=self.cluster, services=[name], WaiterConfig=patience(within))
        return self.service(name)

    def of_service(self, name, **more):
        """The service's tasks that should run."""
        arns = self.ecs.list_tasks(cluster=self.cluster, serviceName=name, **more)["taskArns"]
        if not arns:
            return []
        return self.ecs.describe_tasks(cluster=self.cluster, tasks=arns)["tasks"]

    def events(self, name):
        """The sentences of the service's events, newest first."""
        return [event["message"] for event in self.service(name)["events"]]

    def told(self, name, sentence, **more):
        """Waits until an event has the sentence."""
        def there():
            events = self.events(name)
            assert any(sentence in event for event in events), f"{sentence!r} is in none of {json.dumps(events, indent=1)}"
            return True
        return eventually(there, **more)

    def remove(self, name):
        """Deletes a service with its tasks and waits until nothing of it runs."""
        self.ecs.delete_service(cluster=self.cluster, service=name, force=True)
        self.ecs.get_waiter("services_inactive").wait(
            cluster=self.cluster, services=[name], WaiterConfig=patience(60))


def one(task, name="app"):
    """A container of a described task."""
    return next(c for c in task["containers"] if c["name"] == name)


def port_of(task, container_port=8080, name="app"):
    """The host port on which a container's port is published."""
    bindings = one(task, name)["networkBindings"]
    return next(b["hostPort"] for b in bindings if b["containerPort"] == container_port)
