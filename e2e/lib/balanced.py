"""Load balancers, services behind them, and clients that count what they lose."""

import collections
import http.client
import threading
import time

from .server import free_port
from .tasks import fresh, last
from .wait import eventually

#: What makes health known soon: the shortest that Elastic Load Balancing takes.
SOON = {"HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 2, "HealthyThresholdCount": 2,
        "UnhealthyThresholdCount": 2}


class Front:
    """A load balancer with one listener that sends to one target group."""

    def __init__(self, wharf, kind="application", targets="instance", **health):
        self.elb, self.port, name = wharf.client("elbv2"), free_port(), fresh("b")
        web = kind == "application"
        vpc = wharf.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
        subnets = [s["SubnetId"] for s in wharf.client("ec2").describe_subnets()["Subnets"]]
        checks = {"HealthCheckPath": "/health"} if web else {}
        [group] = self.elb.create_target_group(
            Name=name, Protocol="HTTP" if web else "TCP", Port=80, VpcId=vpc, TargetType=targets,
            **(checks | SOON | health))["TargetGroups"]
        self.group = group["TargetGroupArn"]
        [balancer] = self.elb.create_load_balancer(Name=name, Type=kind, Subnets=subnets)["LoadBalancers"]
        self.arn, self.host = balancer["LoadBalancerArn"], balancer["DNSName"]
        [listener] = self.elb.create_listener(
            LoadBalancerArn=self.arn, Protocol="HTTP" if web else "TCP", Port=self.port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.group}])["Listeners"]
        self.listener = listener["ListenerArn"]

    def behind(self, port=8080, container="app"):
        """The member of `loadBalancers`."""
        return {"targetGroupArn": self.group, "containerName": container, "containerPort": port}

    def delay(self, seconds):
        """How long a target that leaves may finish what it has begun."""
        attribute = {"Key": "deregistration_delay.timeout_seconds", "Value": str(seconds)}
        self.elb.modify_target_group_attributes(TargetGroupArn=self.group, Attributes=[attribute])

    def states(self):
        """By port: how each target stands."""
        found = self.elb.describe_target_health(TargetGroupArn=self.group)["TargetHealthDescriptions"]
        return {t["Target"]["Port"]: t["TargetHealth"]["State"] for t in found}

    def healthy(self, count):
        """Waits until so many targets are healthy and no other is there."""
        return eventually(lambda: list(self.states().values()) == ["healthy"] * count, within=40,
                          what=f"{count} healthy targets")

    def get(self, path="/", timeout=60):
        """Status and body of one request over a connection of its own."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            link.request("GET", path, headers={"Host": self.host})
            answer = link.getresponse()
            return answer.status, answer.read().decode()
        finally:
            link.close()

    def remove(self):
        self.elb.delete_load_balancer(LoadBalancerArn=self.arn)
        self.elb.delete_target_group(TargetGroupArn=self.group)


class Load:
    """Clients that ask without a pause, by kept connections and by new ones, and count."""

    def __init__(self, front, kept=2, new=2, path="/"):
        self.front, self.path = front, path
        self.answers, self.lost, self.stop = collections.Counter(), [], threading.Event()
        loops = [self._kept] * kept + [self._new] * new
        self.threads = [threading.Thread(target=loop, daemon=True) for loop in loops]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(timeout=90)

    def _ask(self, link):
        try:
            link.request("GET", self.path, headers={"Host": self.front.host})
            answer = link.getresponse()
            body = answer.read().decode()
            if answer.status == 200:
                self.answers[body] += 1
            else:
                self.lost.append((time.time(), answer.status, body))
        except (OSError, http.client.HTTPException) as error:
            self.lost.append((time.time(), type(error).__name__, str(error)))
            link.close()

    def _link(self):
        return http.client.HTTPConnection("127.0.0.1", self.front.port, timeout=60)

    def _kept(self):
        link = self._link()
        while not self.stop.is_set():
            self._ask(link)
        link.close()

    def _new(self):
        while not self.stop.is_set():
            link = self._link()
            self._ask(link)
            link.close()

    @property
    def count(self):
        return sum(self.answers.values())

    def goes_on(self, more=50):
        """Waits until so many further requests were answered."""
        before = self.count
        eventually(lambda: self.count >= before + more, within=20, what="further answers")

    def versions(self):
        """The versions that have answered."""
        return {body.split()[0] for body in self.answers}


def web(tasks, version=0, *, ports=(8080,), name="app", family=None, **variables):
    """A definition of the web program whose ports its node chooses."""
    environment = {"VERSION": str(version), **{k: str(v) for k, v in variables.items()}}
    container = tasks.container(
        image="web", name=name,
        portMappings=[{"containerPort": port, "hostPort": 0} for port in ports],
        environment=[{"name": k, "value": v} for k, v in environment.items()])
    return tasks.define(container, family=family)


def ports_of(tasks, service):
    """By task: the host port of its first published port, of those that run."""
    found = {}
    for task in tasks.of_service(service):
        bindings = [b for c in task["containers"] for b in c.get("networkBindings", [])]
        if task["lastStatus"] == "RUNNING" and bindings:
            found[last(task["taskArn"])] = bindings[0]["hostPort"]
    return found


def deployed(tasks, service, within=60):
    """Waits until one deployment is left, and complete."""
    def done():
        found = tasks.service(service)["deployments"]
        return len(found) == 1 and found[0]["rolloutState"] == "COMPLETED"
    return eventually(done, within=within, what=f"the deployment of {service}")
