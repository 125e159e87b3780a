"""Service deployments: revisions, blue/green, linear and canary behind a real load balancer, hooks, alarms, stops."""

import contextlib
import http.server
import json
import threading
import time

import botocore.exceptions
import pytest

from lib.balanced import SOON, Front, Load, web
from lib.server import free_port
from lib.tasks import fresh
from lib.wait import eventually


class Pair(Front):
    """A load balancer whose listeners move between two target groups."""

    def __init__(self, wharf):
        super().__init__(wharf)
        self.other_arns, self.test_port = [], free_port()
        vpc = wharf.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
        [group] = self.elb.create_target_group(
            Name=fresh("g"), Protocol="HTTP", Port=80, VpcId=vpc, TargetType="instance",
            HealthCheckPath="/health", **SOON)["TargetGroups"]
        self.green = group["TargetGroupArn"]
        for arn in (self.group, self.green):
            attribute = {"Key": "deregistration_delay.timeout_seconds", "Value": "3"}
            self.elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=[attribute])
        self.production = self.rule_of(self.listener)
        [listener] = self.elb.create_listener(
            LoadBalancerArn=self.arn, Protocol="HTTP", Port=self.test_port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.group}])["Listeners"]
        self.test = self.rule_of(listener["ListenerArn"])

    def rule_of(self, listener):
        [rule] = self.elb.describe_rules(ListenerArn=listener)["Rules"]
        return rule["RuleArn"]

    def pair(self, port=8080):
        advanced = {"alternateTargetGroupArn": self.green, "productionListenerRule": self.production,
                    "testListenerRule": self.test, "roleArn": "arn:aws:iam::000000000000:role/ecs"}
        return self.behind(port) | {"advancedConfiguration": advanced}

    def weights(self, rule=None):
        """What each of the two groups gets."""
        [found] = self.elb.describe_rules(RuleArns=[rule or self.production])["Rules"]
        groups = found["Actions"][0]["ForwardConfig"]["TargetGroups"]
        by_arn = {g["TargetGroupArn"]: g.get("Weight", 1) for g in groups}
        return by_arn.get(self.group, 0), by_arn.get(self.green, 0)


class Hook:
    """A web server that answers hooks, and keeps what it was sent."""

    def __init__(self, *answers):
        self.answers, self.seen = list(answers), []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.seen.append(body)
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                text = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def at(self, *stages, **more):
        return {"hookTargetArn": self.url, "lifecycleStages": list(stages)} | more


@pytest.fixture
def hook():
    with contextlib.ExitStack() as stack:
        def make(*answers):
            made = Hook(*answers)
            stack.callback(made.server.shutdown)
            return made
        yield make


@pytest.fixture
def front(wharf):
    return Pair(wharf)


BLUE_GREEN = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0}


def deployments(ecs, name, **more):
    return ecs.list_service_deployments(service=name, **more)["serviceDeployments"]


def newest(ecs, name):
    arn = deployments(ecs, name)[0]["serviceDeploymentArn"]
    answer = ecs.describe_service_deployments(serviceDeploymentArns=[arn])
    assert answer["failures"] == []
    return answer["serviceDeployments"][0]


def ends(ecs, name, status, within=90):
    def there():
        found = newest(ecs, name)
        return found if found["status"] == status else None
    return eventually(there, within=within, what=f"{status} of {name}")


def reaches(ecs, name, stage, within=60):
    def there():
        found = newest(ecs, name)
        return found if found.get("lifecycleStage") == stage else None
    return eventually(there, within=within, what=f"{stage} of {name}")


def serve(tasks, ecs, front, name, config, count=2):
    """A service of the first version that is up, behind the pair."""
    tasks.create_service(web(tasks, 1, family=name), count, name, loadBalancers=[front.pair()],
                         deploymentConfiguration=config)
    ends(ecs, name, "SUCCESSFUL")
    return web(tasks, 2, family=name)


def test_each_update_is_a_deployment_of_a_revision(tasks, ecs, name):
    first = tasks.define(tasks.container("on-term", 0, "forever"), family=name)
    tasks.create_service(first, 1, name)
    done = ends(ecs, name, "SUCCESSFUL")
    assert done["sourceServiceRevisions"] == [] and "lifecycleStage" not in done
    assert done["targetServiceRevision"]["requestedTaskCount"] == 1
    assert done["deploymentCircuitBreaker"]["status"] == "DISABLED" and done["alarms"]["status"] == "DISABLED"
    assert done["startedAt"] >= done["createdAt"] and done["finishedAt"] >= done["startedAt"]
    service = tasks.service(name)
    [current] = service["currentServiceRevisions"]
    assert current["arn"] == done["targetServiceRevision"]["arn"] and current["runningTaskCount"] == 1
    assert current["arn"].rpartition("/")[2] == service["deployments"][0]["id"].rpartition("/")[2]
    [revision] = ecs.describe_service_revisions(serviceRevisionArns=[current["arn"]])["serviceRevisions"]
    assert revision["taskDefinition"] == first and revision["launchType"] == "EC2"
    assert [image["containerName"] for image in revision["containerImages"]] == ["app"]

    second = tasks.define(tasks.container("on-term", 0, "forever"), family=name)
    ecs.update_service(service=name, taskDefinition=second)
    assert tasks.service(name)["currentServiceDeployment"] == newest(ecs, name)["serviceDeploymentArn"]
    ends(ecs, name, "SUCCESSFUL")
    assert "currentServiceDeployment" not in tasks.service(name)
    ecs.update_service(service=name, desiredCount=0)
    tasks.stable(name)
    found = deployments(ecs, name)
    assert len(found) == 2 and found[0]["createdAt"] > found[1]["createdAt"]
    assert deployments(ecs, name, status=["IN_PROGRESS"]) == []
    assert deployments(ecs, name, createdAt={"before": found[0]["createdAt"]}) == found[1:]
    page = ecs.list_service_deployments(service=name, maxResults=1)
    more = ecs.list_service_deployments(service=name, maxResults=1, nextToken=page["nextToken"])
    assert page["serviceDeployments"] + more["serviceDeployments"] == found
    assert newest(ecs, name)["sourceServiceRevisions"][0]["arn"] == current["arn"]


def test_what_cannot_be_says_why(tasks, ecs, front, name):
    definition = web(tasks, 1, family=name)

    def refused(says, code="InvalidParameterException", **config):
        balancers = config.pop("loadBalancers", [front.pair()])
        with pytest.raises(botocore.exceptions.ClientError) as error:
            tasks.create_service(definition, 1, name, loadBalancers=balancers, deploymentConfiguration=config)
        assert error.value.response["Error"]["Code"] == code
        assert says in error.value.response["Error"]["Message"]

    lambda_arn = "arn:aws:lambda:us-east-1:000000000000:function:f"
    refused("there are no Lambda functions in Wharf", **BLUE_GREEN,
            lifecycleHooks=[{"hookTargetArn": lambda_arn, "lifecycleStages": ["POST_SCALE_UP"]}])
    refused("give an empty list", strategy="ROLLING",
            lifecycleHooks=[{"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]}])
    refused("cannot be at TEST_TRAFFIC_SHIFT", **BLUE_GREEN,
            lifecycleHooks=[{"targetType": "PAUSE", "lifecycleStages": ["TEST_TRAFFIC_SHIFT"]}])
    refused("give alternateTargetGroupArn", **BLUE_GREEN, loadBalancers=[front.behind()])
    refused("no multiple of 0.1", strategy="LINEAR", linearConfiguration={"stepPercent": 1.0})
    gone = front.pair()
    gone["advancedConfiguration"] = gone["advancedConfiguration"] | {"productionListenerRule": front.production[:-2] + "xx"}
    refused("does not exist", **BLUE_GREEN, loadBalancers=[gone])
    arn = f"arn:aws:ecs:us-east-1:000000000000:service-deployment/default/{name}/AAAAAAAAAAAAAAAAAAAAA"
    with pytest.raises(ecs.exceptions.ServiceDeploymentNotFoundException):
        ecs.stop_service_deployment(serviceDeploymentArn=arn)
    assert ecs.describe_service_deployments(serviceDeploymentArns=[arn])["failures"] == [{"arn": arn, "reason": "MISSING"}]
    with pytest.raises(ecs.exceptions.ServiceNotFoundException):
        ecs.list_service_deployments(service=name)


def test_blue_green_under_load_loses_no_request(tasks, ecs, front, name, hook):
    said = hook({"hookStatus": "SUCCEEDED"})
    config = BLUE_GREEN | {"lifecycleHooks": [
        said.at("POST_TEST_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT", hookDetails={"team": "web"})]}
    second = serve(tasks, ecs, front, name, config)
    said.seen.clear()
    with Load(front) as load:
        load.goes_on()
        for definition in (second, web(tasks, 3, family=name)):
            ecs.update_service(service=name, taskDefinition=definition)
            ends(ecs, name, "SUCCESSFUL")
            load.goes_on()
    assert load.lost == []
    assert load.versions() == {"1", "2", "3"}
    assert front.weights() == (100, 0), "twice over is home again"
    assert front.weights(front.test) == (100, 0)
    stages = [event["lifecycleStage"] for event in said.seen]
    assert stages == ["POST_TEST_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT"] * 2
    event, done = said.seen[-1], newest(ecs, name)
    assert event["resourceArn"] == done["serviceDeploymentArn"] and event["hookDetails"] == {"team": "web"}
    details, target = event["executionDetails"], done["targetServiceRevision"]["arn"]
    assert details["targetServiceRevisionArn"] == target
    assert details["productionTrafficWeights"][target] == 100
    assert sorted(details["productionTrafficWeights"].values()) == [0, 100]


def test_the_test_listener_sees_green_first(tasks, ecs, front, name):
    pause = {"targetType": "PAUSE", "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"],
             "timeoutConfiguration": {"timeoutInMinutes": 60, "action": "ROLLBACK"}}
    second = serve(tasks, ecs, front, name, BLUE_GREEN)
    ecs.update_service(service=name, taskDefinition=second,
                       deploymentConfiguration={"lifecycleHooks": [pause]})
    waiting = reaches(ecs, name, "POST_TEST_TRAFFIC_SHIFT")
    [detail] = waiting["lifecycleHookDetails"]
    assert detail["status"] == "AWAITING_ACTION" and detail["targetType"] == "PAUSE"
    assert front.get()[1].startswith("1 ")
    production, front.port = front.port, front.test_port
    eventually(lambda: front.get()[1].startswith("2 "))
    front.port = production
    source, target = waiting["sourceServiceRevisions"][0], waiting["targetServiceRevision"]
    assert (source["requestedProductionTrafficWeight"], target["requestedProductionTrafficWeight"]) == (100, 0)
    assert (source["requestedTestTrafficWeight"], target["requestedTestTrafficWeight"]) == (0, 100)
    found = tasks.service(name)
    assert [d["status"] for d in found["deployments"]] == ["PRIMARY", "ACTIVE"]
    assert [d["desiredCount"] for d in found["deployments"]] == [2, 2] and found["runningCount"] == 4
    arn = waiting["serviceDeploymentArn"]
    with pytest.raises(botocore.exceptions.ClientError) as error:
        ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId="nope")
    assert "not a pause hook in status AWAITING_ACTION" in str(error.value)
    assert ecs.continue_service_deployment(
        serviceDeploymentArn=arn, hookId=detail["hookId"])["serviceDeploymentArn"] == arn
    ends(ecs, name, "SUCCESSFUL")
    eventually(lambda: front.get()[1].startswith("2 "))


@pytest.mark.parametrize("config, shares", [
    ({"strategy": "LINEAR", "linearConfiguration": {"stepPercent": 40.0, "stepBakeTimeInMinutes": 0}},
     [(60, 40), (20, 80), (0, 100)]),
    ({"strategy": "CANARY", "canaryConfiguration": {"canaryPercent": 5.5, "canaryBakeTimeInMinutes": 0}},
     [(945, 55), (0, 100)]),
])
def test_traffic_moves_step_by_step(tasks, ecs, front, name, hook, config, shares):
    seen = []
    said = hook({"hookStatus": "SUCCEEDED"})
    config = config | {"bakeTimeInMinutes": 0, "lifecycleHooks": [said.at("PRODUCTION_TRAFFIC_SHIFT")]}
    second = serve(tasks, ecs, front, name, config)
    said.seen.clear()
    with Load(front) as load:
        ecs.update_service(service=name, taskDefinition=second)
        while newest(ecs, name)["status"] != "SUCCESSFUL":
            if not seen or seen[-1] != front.weights():
                seen.append(front.weights())
        load.goes_on()
    assert load.lost == []
    percents = [sorted(event["executionDetails"]["productionTrafficWeights"].items()) for event in said.seen]
    assert len(percents) == len(shares)
    assert seen[-1] == (0, 100) and set(seen[1:]) <= set(shares) | {(100, 0)}, seen


def test_a_hook_that_fails_brings_blue_back(tasks, ecs, front, name, hook):
    said = hook({"hookStatus": "SUCCEEDED"}, {"hookStatus": "IN_PROGRESS", "callBackDelay": 1, "hookDetails": {"n": 1}},
                {"hookStatus": "FAILED", "reason": "the menu is upside down"}, {"hookStatus": "SUCCEEDED"})
    config = BLUE_GREEN | {"lifecycleHooks": [said.at("POST_PRODUCTION_TRAFFIC_SHIFT")]}
    second = serve(tasks, ecs, front, name, config)
    with Load(front) as load:
        ecs.update_service(service=name, taskDefinition=second)
        done = ends(ecs, name, "ROLLBACK_SUCCESSFUL")
        load.goes_on()
    assert load.lost == [] and front.weights() == (100, 0)
    assert said.seen[2]["hookDetails"] == {"n": 1} and said.seen[1]["executionId"] == said.seen[2]["executionId"]
    assert "failed at POST_PRODUCTION_TRAFFIC_SHIFT: the menu is upside down." in done["rollback"]["reason"]
    assert done["rollback"]["serviceRevisionArn"] == done["sourceServiceRevisions"][0]["arn"]
    found = tasks.service(name)
    assert len(found["deployments"]) == 1 and found["taskDefinition"].endswith(":1")
    tasks.told(name, "deployment failed: a lifecycle hook did not succeed.")


def test_an_alarm_brings_blue_back(tasks, ecs, wharf, front, name):
    watch = wharf.client("cloudwatch")
    watch.put_metric_alarm(AlarmName=name, Namespace="e2e", MetricName=name, Statistic="Sum", Period=60,
                           EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold",
                           TreatMissingData="ignore")
    alarms = {"alarmNames": [name], "enable": True, "rollback": True}
    config = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 60, "alarms": alarms}
    second = serve(tasks, ecs, front, name, config)
    ecs.update_service(service=name, taskDefinition=second)
    baking = reaches(ecs, name, "BAKE_TIME")
    assert baking["alarms"] == {"status": "MONITORING", "alarmNames": [name]}
    assert front.weights() == (0, 100)
    time.sleep(2)
    watch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    done = ends(ecs, name, "ROLLBACK_SUCCESSFUL")
    assert done["alarms"] == {"status": "TRIGGERED", "alarmNames": [name], "triggeredAlarmNames": [name]}
    assert f"{name} went into the ALARM state" in done["statusReason"] and front.weights() == (100, 0)


def test_a_user_stops_and_goes_back(tasks, ecs, front, name):
    second = serve(tasks, ecs, front, name, {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 60})
    ecs.update_service(service=name, taskDefinition=second)
    baking = reaches(ecs, name, "BAKE_TIME")
    arn = baking["serviceDeploymentArn"]
    stopped = ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ROLLBACK")
    assert stopped["serviceDeploymentArn"] == arn
    done = ends(ecs, name, "ROLLBACK_SUCCESSFUL")
    assert done["rollback"]["reason"] == "Service deployment rolled back: a user asked for it."
    assert front.weights() == (100, 0)
    with pytest.raises(ecs.exceptions.ConflictException):
        ecs.stop_service_deployment(serviceDeploymentArn=arn)


def test_a_network_balancer_moves_by_its_listener(wharf, tasks, ecs, name):
    front = Front(wharf, "network")
    vpc = wharf.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    [group] = front.elb.create_target_group(
        Name=fresh("g"), Protocol="TCP", Port=80, VpcId=vpc, TargetType="instance", **SOON)["TargetGroups"]
    green = group["TargetGroupArn"]
    advanced = {"alternateTargetGroupArn": green, "productionListenerRule": front.listener}
    tasks.create_service(web(tasks, 1, family=name), 2, name, deploymentConfiguration=BLUE_GREEN,
                         loadBalancers=[front.behind() | {"advancedConfiguration": advanced}])
    ends(ecs, name, "SUCCESSFUL")
    ecs.update_service(service=name, taskDefinition=web(tasks, 2, family=name))
    done = ends(ecs, name, "SUCCESSFUL")
    [listener] = front.elb.describe_listeners(ListenerArns=[front.listener])["Listeners"]
    forward = listener["DefaultActions"][0]["ForwardConfig"]["TargetGroups"]
    assert {g["TargetGroupArn"]: g["Weight"] for g in forward} == {front.group: 0, green: 100}
    eventually(lambda: front.get()[1].startswith("2 "))
    [revision] = ecs.describe_service_revisions(
        serviceRevisionArns=[done["targetServiceRevision"]["arn"]])["serviceRevisions"]
    assert revision["resolvedConfiguration"]["loadBalancers"] == [
        {"targetGroupArn": green, "productionListenerRule": front.listener}]


def test_without_a_balancer_both_sets_bake(tasks, ecs, name):
    first, second = (tasks.define(tasks.container("on-term", 0, "forever"), family=name) for _ in range(2))
    tasks.create_service(first, 1, name, deploymentConfiguration={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 60})
    ends(ecs, name, "SUCCESSFUL")
    ecs.update_service(service=name, taskDefinition=second)
    baking = reaches(ecs, name, "BAKE_TIME")
    assert tasks.service(name)["runningCount"] == 2
    ecs.stop_service_deployment(serviceDeploymentArn=baking["serviceDeploymentArn"], stopType="ABORT")
    done = ends(ecs, name, "STOPPED")
    assert done["stoppedAt"] == done["finishedAt"] and tasks.service(name)["runningCount"] == 2
    ecs.update_service(service=name, forceNewDeployment=True, deploymentConfiguration={"bakeTimeInMinutes": 0})
    ends(ecs, name, "SUCCESSFUL")
    assert tasks.service(name)["runningCount"] == 1


def test_a_bake_goes_on_after_a_kill(own, own_tasks, name):
    ecs, front = own.client("ecs"), Pair(own)
    second = serve(own_tasks, ecs, front, name, {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 1})
    ecs.update_service(service=name, taskDefinition=second)
    baking = reaches(ecs, name, "BAKE_TIME")
    own.kill()
    own.start()
    same = newest(ecs, name)
    assert same["serviceDeploymentArn"] == baking["serviceDeploymentArn"]
    assert same["lifecycleStage"] == "BAKE_TIME" and same["status"] == "IN_PROGRESS"
    assert front.weights() == (0, 100)
    done = ends(ecs, name, "SUCCESSFUL", within=120)
    assert (done["finishedAt"] - baking["startedAt"]).total_seconds() < 110
    eventually(lambda: front.get()[1].startswith("2 "))
    assert own_tasks.service(name)["runningCount"] == 2


def test_the_circuit_breaker_counts_to_its_threshold(tasks, ecs, name):
    good = tasks.define(tasks.container("on-term", 0, "forever"), family=name)
    bad = tasks.define(tasks.container("exit", 3), family=name)
    breaker = {"enable": True, "rollback": True, "resetOnHealthyTask": False,
               "thresholdConfiguration": {"type": "COUNT", "value": 2}}
    tasks.create_service(good, 1, name, deploymentConfiguration={"deploymentCircuitBreaker": breaker})
    done = ends(ecs, name, "SUCCESSFUL")
    assert done["deploymentCircuitBreaker"] == {"status": "MONITORING_COMPLETE", "failureCount": 0, "threshold": 2}
    assert tasks.service(name)["deploymentConfiguration"]["deploymentCircuitBreaker"] == breaker
    ecs.update_service(service=name, taskDefinition=bad)
    done = ends(ecs, name, "ROLLBACK_SUCCESSFUL", within=120)
    assert done["deploymentCircuitBreaker"]["status"] == "TRIGGERED"
    assert done["deploymentCircuitBreaker"]["failureCount"] >= 2
    assert tasks.service(name)["taskDefinition"] == good
