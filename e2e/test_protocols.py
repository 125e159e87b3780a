"""One service in three protocols: what is asked in each is the same, and so is what is answered."""

import datetime

import botocore.exceptions
import botocore.session
import pytest

from lib.tasks import fresh

PROTOCOLS = ["smithy-rpc-v2-cbor", "json", "query"]


@pytest.fixture(params=PROTOCOLS)
def cloudwatch(request, wharf, monkeypatch):
    """A client that speaks one protocol only: botocore takes the first of its own list."""
    monkeypatch.setattr("botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", [request.param])
    env = wharf.env
    client = botocore.session.get_session().create_client(
        "cloudwatch", region_name=env["AWS_DEFAULT_REGION"], endpoint_url=wharf.endpoint,
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"], aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"])
    assert client.meta.service_model.resolved_protocol == request.param
    return client


def test_the_same_in_every_protocol(cloudwatch):
    namespace, now = fresh("ns"), datetime.datetime.now(datetime.timezone.utc)
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=[
        {"MetricName": "requests", "Timestamp": now, "Value": 2.5, "Unit": "Count",
         "Dimensions": [{"Name": "path", "Value": "/a b&<c>"}]}])
    [metric] = cloudwatch.list_metrics(Namespace=namespace)["Metrics"]
    assert metric == {"Namespace": namespace, "MetricName": "requests",
                      "Dimensions": [{"Name": "path", "Value": "/a b&<c>"}]}
    query = {"Id": "a", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}
    hour = datetime.timedelta(hours=1)
    [result] = cloudwatch.get_metric_data(MetricDataQueries=[query], StartTime=now - hour, EndTime=now + hour)[
        "MetricDataResults"]
    assert result["Values"] == [2.5]
    assert result["Timestamps"] == [now.replace(second=0, microsecond=0)]


def test_errors_have_one_code_in_every_protocol(cloudwatch):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        cloudwatch.set_alarm_state(AlarmName=fresh("gone"), StateValue="OK", StateReason="a test")
    answer = error.value.response
    assert answer["Error"]["Code"] == "ResourceNotFound"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 404
    with pytest.raises(botocore.exceptions.ClientError) as error:
        cloudwatch.put_dashboard(DashboardName="d", DashboardBody="{}")
    assert error.value.response["Error"]["Code"] == "NotImplemented"
