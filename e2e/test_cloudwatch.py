"""CloudWatch: data, statistics and alarms as SDKs of three protocols see them, and what the platform
measures of itself."""

import copy
import datetime
import json
import time
import urllib.parse

import botocore.config
import botocore.exceptions
import botocore.session
import pytest

from lib.signed import send
from lib.tasks import fresh
from lib.wait import eventually

UTC = datetime.timezone.utc


def now():
    return datetime.datetime.now(UTC)


def minutes(count):
    return datetime.timedelta(minutes=count)


@pytest.fixture
def cloudwatch(wharf):
    return wharf.client("cloudwatch")


@pytest.fixture
def namespace():
    return fresh("e2e/metrics")


def speaking(wharf, protocol):
    """A client of botocore that speaks this protocol, as SDKs of other languages do."""
    session = botocore.session.Session()
    loader = session.get_component("data_loader")
    load = loader.load_service_model

    def changed(service, kind, *words, **more):
        model = load(service, kind, *words, **more)
        if service == "cloudwatch" and kind == "service-2":
            model = copy.deepcopy(model)
            model["metadata"] |= {"protocol": protocol, "protocols": [protocol]}
        return model

    loader.load_service_model = changed
    return session.create_client(
        "cloudwatch", endpoint_url=wharf.env["AWS_ENDPOINT_URL"], region_name=wharf.env["AWS_REGION"],
        aws_access_key_id=wharf.env["AWS_ACCESS_KEY_ID"], aws_secret_access_key=wharf.env["AWS_SECRET_ACCESS_KEY"],
        config=botocore.config.Config(retries={"max_attempts": 0}))


def put(client, namespace, name, *values, at=None, **more):
    at = at or now()
    client.put_metric_data(Namespace=namespace, MetricData=[
        {"MetricName": name, "Value": value, "Timestamp": at} | more for value in values])


@pytest.mark.parametrize("protocol", ["json", "query", "smithy-rpc-v2-cbor"])
def test_every_protocol_puts_and_gets(wharf, namespace, protocol):
    client = speaking(wharf, protocol)
    at = now() - minutes(2)
    put(client, namespace, "m", 1.5, 2.5, at=at, Unit="Count", Dimensions=[{"Name": "Host", "Value": "a&b"}])
    listed = client.list_metrics(Namespace=namespace)["Metrics"]
    assert listed == [{"Namespace": namespace, "MetricName": "m", "Dimensions": [{"Name": "Host", "Value": "a&b"}]}]
    points = client.get_metric_statistics(
        Namespace=namespace, MetricName="m", Dimensions=listed[0]["Dimensions"], Period=60,
        StartTime=at - minutes(5), EndTime=now(), Statistics=["Sum", "Average", "SampleCount"],
        ExtendedStatistics=["p99"])["Datapoints"]
    assert len(points) == 1 and points[0]["Unit"] == "Count"
    assert (points[0]["Sum"], points[0]["Average"], points[0]["SampleCount"]) == (4.0, 2.0, 2.0)
    assert points[0]["ExtendedStatistics"]["p99"] == pytest.approx(2.5, rel=0.02)
    assert points[0]["Timestamp"] == at.replace(second=0, microsecond=0)
    data = client.get_metric_data(
        StartTime=at - minutes(5), EndTime=now(), MetricDataQueries=[
            {"Id": "m", "MetricStat": {"Metric": listed[0], "Period": 60, "Stat": "Sum"}, "ReturnData": False},
            {"Id": "e", "Expression": "m * 2", "Label": "twice"}])["MetricDataResults"]
    assert [(r["Id"], r["Label"], r["Values"]) for r in data] == [("e", "twice", [8.0])]
    name = fresh("alarm")
    client.put_metric_alarm(
        AlarmName=name, Namespace=namespace, MetricName="m", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="GreaterThanThreshold")
    described = client.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]
    assert described["Threshold"] == 1.0 and described["StateValue"] == "INSUFFICIENT_DATA"
    client.delete_alarms(AlarmNames=[name])
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        put(client, "AWS/ECS", "m", 1)
    error = refused.value.response["Error"]
    assert error["Code"] in ("InvalidParameterValue", "InvalidParameterValueException") and "AWS/ECS" in error["Message"]


def test_a_raw_query_and_a_raw_cbor_request(wharf, namespace):
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    def signed(path, body, headers):
        told = headers | {"Host": f"127.0.0.1:{wharf.port}"}
        request = AWSRequest("POST", wharf.endpoint + path, data=body, headers=told)
        keys = Credentials(wharf.env["AWS_ACCESS_KEY_ID"], wharf.env["AWS_SECRET_ACCESS_KEY"])
        SigV4Auth(keys, "monitoring", wharf.env["AWS_REGION"]).add_auth(request)
        prepared = request.prepare()
        sent = {k: v.decode() if isinstance(v, bytes) else v for k, v in prepared.headers.items()}
        return send(wharf, "POST", path, sent, prepared.body)

    form = urllib.parse.urlencode({
        "Action": "PutMetricData", "Version": "2010-08-01", "Namespace": namespace,
        "MetricData.member.1.MetricName": "raw", "MetricData.member.1.Value": "3"})
    answer = signed("/", form, {"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status == 200 and b"<PutMetricDataResponse" in answer.body
    # {"Namespace": namespace}: a map of one, two texts.
    text = namespace.encode()
    body = b"\xa1" + b"\x69Namespace" + bytes([0x60 + len(text)]) + text
    path = "/service/GraniteServiceVersion20100801/operation/ListMetrics"
    headers = {"Content-Type": "application/cbor", "Accept": "application/cbor", "Smithy-Protocol": "rpc-v2-cbor"}
    answer = signed(path, body, headers)
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/cbor"
    assert answer.headers["Smithy-Protocol"] == "rpc-v2-cbor" and b"MetricName" in answer.body and b"raw" in answer.body


def test_many_data_come_compressed(cloudwatch, namespace):
    dimensions = [{"Name": f"dimension-{n}", "Value": "x" * 50} for n in range(30)]
    data = [{"MetricName": f"m{n}", "Value": n, "Dimensions": dimensions} for n in range(200)]
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)
    pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace=namespace)
    assert len([m for page in pages for m in page["Metrics"]]) == 200


def test_the_aws_cli_draws_statistics(wharf, namespace):
    wharf.aws("cloudwatch", "put-metric-data", "--namespace", namespace, "--metric-name", "m",
              "--value", "42", "--unit", "Percent", "--dimensions", "Host=a", "--storage-resolution", "1")
    found = json.loads(wharf.aws(
        "cloudwatch", "get-metric-statistics", "--namespace", namespace, "--metric-name", "m",
        "--dimensions", "Name=Host,Value=a", "--statistics", "Maximum", "--period", "1",
        "--start-time", (now() - minutes(10)).isoformat(), "--end-time", (now() + minutes(1)).isoformat(),
        "--output", "json"))
    assert [point["Maximum"] for point in found["Datapoints"]] == [42.0]
    name = fresh("cli")
    wharf.aws("cloudwatch", "put-metric-alarm", "--alarm-name", name, "--namespace", namespace, "--metric-name", "m",
              "--statistic", "Average", "--period", "60", "--evaluation-periods", "1", "--threshold", "50",
              "--comparison-operator", "GreaterThanThreshold")
    wharf.aws("cloudwatch", "set-alarm-state", "--alarm-name", name, "--state-value", "ALARM", "--state-reason", "drill")
    # The state that was set stands until the next evaluation, which may be now: the history keeps it.
    shown = json.loads(wharf.aws("cloudwatch", "describe-alarm-history", "--alarm-name", name,
                                 "--history-item-type", "StateUpdate", "--output", "json"))
    told = [json.loads(item["HistoryData"])["newState"] for item in shown["AlarmHistoryItems"]]
    assert {"stateValue": "ALARM", "stateReason": "drill"} in [
        {field: state[field] for field in ("stateValue", "stateReason")} for state in told]
    wharf.aws("cloudwatch", "delete-alarms", "--alarm-names", name)


def test_an_alarm_of_short_periods_follows_its_metric(cloudwatch, namespace):
    name = fresh("quick")
    cloudwatch.put_metric_alarm(
        AlarmName=name, Namespace=namespace, MetricName="m", Statistic="Maximum", Period=10, EvaluationPeriods=1,
        Threshold=80, ComparisonOperator="GreaterThanThreshold", TreatMissingData="notBreaching")
    def state(wanted):
        put(cloudwatch, namespace, "m", 97.5 if wanted == "ALARM" else 10.0, StorageResolution=1)
        alarm = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]
        return alarm if alarm["StateValue"] == wanted else None
    fine = eventually(lambda: state("OK"), within=40, every=0.5)
    assert "80.0" in fine["StateReason"] or "NonBreaching" in fine["StateReason"]
    loud = eventually(lambda: state("ALARM"), within=40, every=0.5)
    assert loud["StateReason"].startswith("Threshold Crossed: 1 out of the last 1 datapoints [97.5 (")
    assert json.loads(loud["StateReasonData"])["recentDatapoints"] == [97.5]
    eventually(lambda: state("OK"), within=40, every=0.5)
    history = cloudwatch.describe_alarm_history(AlarmName=name, HistoryItemType="StateUpdate")["AlarmHistoryItems"]
    assert history[0]["HistorySummary"] == "Alarm updated from ALARM to OK"
    cloudwatch.delete_alarms(AlarmNames=[name])


def test_a_waiter_sees_an_alarm_exist(cloudwatch, namespace):
    name = fresh("waited")
    cloudwatch.put_metric_alarm(
        AlarmName=name, Namespace=namespace, MetricName="m", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="LessThanThreshold")
    cloudwatch.get_waiter("alarm_exists").wait(AlarmNames=[name], WaiterConfig={"Delay": 0.2, "MaxAttempts": 20})
    cloudwatch.delete_alarms(AlarmNames=[name])


def test_what_is_not_built_is_refused_by_name(cloudwatch, namespace):
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        cloudwatch.put_composite_alarm(AlarmName="c", AlarmRule="ALARM(x)")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        cloudwatch.put_metric_alarm(
            AlarmName="a", Namespace=namespace, MetricName="m", Statistic="Sum", Period=60, EvaluationPeriods=1,
            Threshold=1, ComparisonOperator="LessThanThreshold",
            AlarmActions=["arn:aws:sns:us-east-1:123456789012:topic"])
    assert "AlarmActions" in refused.value.response["Error"]["Message"]


def utilisation(client, metric, **dimensions):
    """The newest value of a metric of ECS, each second by itself."""
    found = client.get_metric_statistics(
        Namespace="AWS/ECS", MetricName=metric, Period=1, StartTime=now() - minutes(2), EndTime=now(),
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        Statistics=["Average"])["Datapoints"]
    found.sort(key=lambda point: point["Timestamp"])
    return found[-1]["Average"] if found else None


def test_a_busy_service_shows_within_seconds(tasks, cloudwatch, wharf):
    definition = tasks.define(tasks.container("burn", cpu=512))
    name = tasks.create_service(definition, count=1)
    tasks.stable(name)
    began = time.monotonic()
    # One busy core is 1,024 of 512 units; a machine that is busy otherwise gives less.
    busy = eventually(
        lambda: (lambda v: v if v and v > 40 else None)(
            utilisation(cloudwatch, "CPUUtilization", ClusterName="default", ServiceName=name)), within=60, every=0.2)
    print(f"busy at {busy:.0f} % after {time.monotonic() - began:.1f} s")
    assert busy < 260
    assert utilisation(cloudwatch, "MemoryUtilization", ClusterName="default", ServiceName=name) is not None
    assert eventually(lambda: utilisation(cloudwatch, "CPUUtilization", ClusterName="default"), within=20) > 0
    assert eventually(lambda: utilisation(cloudwatch, "CPUReservation", ClusterName="default"), within=20) > 0
    def exposed():
        status, text = wharf.get("/metrics")
        assert status == 200
        wanted = f'aws_ecs_cpuutilization_average{{cluster_name="default",service_name="{name}"}}'
        return next((line for line in text.splitlines() if line.startswith(wanted)), None)
    line = eventually(exposed, within=130, every=1)
    assert float(line.split()[-1]) > 0
    tasks.remove(name)


def test_container_insights_come_by_task_when_the_cluster_asks(tasks, cloudwatch):
    def told(metric, *dimensions):
        pages = cloudwatch.get_paginator("list_metrics").paginate(
            Namespace="ECS/ContainerInsights", MetricName=metric, RecentlyActive="PT3H",
            Dimensions=[{"Name": name, "Value": value} for name, value in dimensions])
        return [m for page in pages for m in page["Metrics"]]
    setting = lambda value: [{"name": "containerInsights", "value": value}]
    shown = tasks.ecs.update_cluster_settings(cluster="default", settings=setting("enhanced"))["cluster"]
    assert shown["settings"] == setting("enhanced")
    try:
        arn = tasks.run("forever")
        tasks.running(arn)
        task = arn.rpartition("/")[2]
        for metric in ["CpuUtilized", "MemoryUtilized", "MemoryReserved", "NetworkRxBytes"]:
            eventually(lambda: told(metric, ("TaskId", task)), within=40, every=0.5)
        assert eventually(lambda: told("TaskCount", ("ClusterName", "default")), within=20)
        tasks.stop(arn)
    finally:
        tasks.ecs.update_cluster_settings(cluster="default", settings=setting("disabled"))


def test_a_restart_keeps_what_was_acknowledged(own):
    client = own.client("cloudwatch")
    at = now() - minutes(1)
    put(client, "e2e/kept", "m", 7, at=at)
    client.put_metric_alarm(
        AlarmName="kept", Namespace="e2e/kept", MetricName="m", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="GreaterThanThreshold", TreatMissingData="ignore")
    client.set_alarm_state(AlarmName="kept", StateValue="ALARM", StateReason="by hand")
    own.kill()
    own.start()
    client = own.client("cloudwatch")
    points = client.get_metric_statistics(
        Namespace="e2e/kept", MetricName="m", Period=60, StartTime=at - minutes(2), EndTime=now(),
        Statistics=["Sum"])["Datapoints"]
    assert [point["Sum"] for point in points] == [7.0]
    assert client.describe_alarms()["MetricAlarms"][0]["AlarmName"] == "kept"
    assert client.describe_alarm_history(AlarmName="kept")["AlarmHistoryItems"]
