//! CloudWatch over JSON: data in, statistics out, alarms, and what is refused.

use serde_json::{Value, json};

use super::bench::{Answer, Bench};

/// 2026-11-22T12:00:00Z, the bench's clock.
const NOW: i64 = 1_795_348_800;

async fn call(bench: &Bench, operation: &str, body: Value) -> Answer {
    let request = Bench::request(&format!("GraniteServiceVersion20100801.{operation}"));
    bench.signed(request, "monitoring", body.to_string().as_bytes()).await
}

/// The error's older name, which clients compare.
fn code(answer: &Answer) -> String {
    answer.error().0
}

async fn put(bench: &Bench, data: Value) -> Answer {
    call(bench, "PutMetricData", json!({"Namespace": "My/App", "MetricData": data})).await
}

fn stat(name: &str, stat: &str) -> Value {
    json!({"Metric": {"Namespace": "My/App", "MetricName": name}, "Period": 60, "Stat": stat})
}

fn range(more: Value) -> Value {
    let mut all = json!({"StartTime": NOW - 600, "EndTime": NOW});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

#[tokio::test]
async fn data_come_back_as_statistics() {
    let bench = Bench::new();
    let at = |seconds: i64| NOW + seconds;
    put(
        &bench,
        json!([
            {"MetricName": "m", "Value": 4.0, "Timestamp": at(-130), "Unit": "Count"},
            {"MetricName": "m", "Values": [1.0, 2.0, 3.0], "Counts": [1, 1, 2], "Timestamp": at(-70), "Unit": "Count"},
            {"MetricName": "s", "StatisticValues": {"SampleCount": 2, "Sum": 6, "Minimum": 2, "Maximum": 4}, "Timestamp": at(-70)},
        ]),
    )
    .await
    .ok();
    let body = range(json!({
        "Namespace": "My/App", "MetricName": "m", "Period": 60,
        "Statistics": ["Sum", "SampleCount", "Average", "Minimum", "Maximum"],
        "ExtendedStatistics": ["p50", "p100"],
    }));
    let found = call(&bench, "GetMetricStatistics", body).await.ok();
    assert_eq!(found["Label"], "m");
    let points = found["Datapoints"].as_array().unwrap();
    assert_eq!(points.len(), 2);
    assert_eq!((&points[0]["Sum"], &points[0]["Unit"]), (&json!(4.0), &json!("Count")));
    assert_eq!(points[1]["SampleCount"], 4.0);
    assert_eq!((&points[1]["Average"], &points[1]["Minimum"]), (&json!(2.25), &json!(1.0)));
    assert_eq!(points[1]["ExtendedStatistics"]["p100"], 3.0);
    // A set has no percentiles, so nothing is told of it.
    let body = range(
        json!({"Namespace": "My/App", "MetricName": "s", "Period": 60, "ExtendedStatistics": ["p50"]}),
    );
    let set = call(&bench, "GetMetricStatistics", body).await.ok();
    assert_eq!(set["Datapoints"][0].get("ExtendedStatistics"), None);
    let listed = call(&bench, "ListMetrics", json!({"Namespace": "My/App"})).await.ok();
    assert_eq!(listed["Metrics"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn queries_are_put_together_and_paged() {
    let bench = Bench::new();
    for minute in 1..=5 {
        put(&bench, json!([{"MetricName": "m", "Value": minute, "Timestamp": NOW - minute * 60}]))
            .await
            .ok();
    }
    let queries = json!([
        {"Id": "m1", "MetricStat": stat("m", "Sum"), "ReturnData": false},
        {"Id": "e1", "Expression": "m1 * 10", "Label": "ten times"},
    ]);
    let body = |more: Value| {
        let mut all = range(json!({"MetricDataQueries": queries.clone()}));
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let found = call(&bench, "GetMetricData", body(json!({}))).await.ok();
    let result = &found["MetricDataResults"][0];
    assert_eq!((&result["Id"], &result["Label"]), (&json!("e1"), &json!("ten times")));
    assert_eq!(result["Values"], json!([10.0, 20.0, 30.0, 40.0, 50.0]), "the newest first");
    assert_eq!(result["StatusCode"], "Complete");
    let up =
        call(&bench, "GetMetricData", body(json!({"ScanBy": "TimestampAscending"}))).await.ok();
    assert_eq!(up["MetricDataResults"][0]["Values"], json!([50.0, 40.0, 30.0, 20.0, 10.0]));
    let (mut all, mut token) = (Vec::new(), None);
    for _ in 0..3 {
        let more = json!({"MaxDatapoints": 2, "NextToken": token});
        let page = call(&bench, "GetMetricData", body(more)).await.ok();
        all.extend(page["MetricDataResults"][0]["Values"].as_array().unwrap().clone());
        let status = &page["MetricDataResults"][0]["StatusCode"];
        token = page["NextToken"].as_str().map(str::to_owned);
        assert_eq!(*status == "PartialData", token.is_some());
    }
    assert_eq!((Value::from(all), token), (json!([10.0, 20.0, 30.0, 40.0, 50.0]), None));
}

#[tokio::test]
async fn what_data_and_queries_are_refused() {
    let bench = Bench::new();
    let metric = |more: Value| {
        let mut datum = json!({"MetricName": "m"});
        datum.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        datum
    };
    for (datum, expected) in [
        (metric(json!({})), "InvalidParameterCombination"),
        (metric(json!({"Value": 1, "Values": [1]})), "InvalidParameterCombination"),
        (metric(json!({"Values": [1, 2], "Counts": [1]})), "InvalidParameterValue"),
        (metric(json!({"Value": 1, "StorageResolution": 5})), "InvalidParameterValue"),
        (metric(json!({"Value": 1, "Timestamp": NOW + 7300})), "InvalidParameterValue"),
        (metric(json!({"Value": 1, "Timestamp": NOW - 15 * 86_400})), "InvalidParameterValue"),
    ] {
        let answer = put(&bench, json!([datum])).await;
        assert!(code(&answer).contains(expected), "{datum}: {}", answer.text);
    }
    let aws = json!({"Namespace": "AWS/ECS", "MetricData": [{"MetricName": "m", "Value": 1}]});
    assert!(call(&bench, "PutMetricData", aws).await.text.contains("AWS/ECS"));
    let data = |queries: Value| range(json!({"MetricDataQueries": queries}));
    for (queries, part) in [
        (json!([{"Id": "M", "MetricStat": stat("m", "Sum")}]), "pattern"),
        (json!([{"Id": "m", "MetricStat": stat("m", "tm90")}]), "tm90"),
        (json!([{"Id": "m", "MetricStat": stat("m", "nonsense")}]), "nonsense"),
        (json!([{"Id": "m"}]), "MetricStat"),
        (json!([{"Id": "e", "Expression": "SEARCH('x', 'Sum', 60)"}]), "SEARCH is not built"),
        (json!([{"Id": "e", "Expression": "x + 1"}]), "'x'"),
        (json!([{"Id": "e", "Expression": "1", "Label": "${PROP('Dim.x')}"}]), "Label"),
        (json!([{"Id": "m", "MetricStat": stat("m", "Sum"), "AccountId": "1"}]), "AccountId"),
    ] {
        let answer = call(&bench, "GetMetricData", data(queries.clone())).await;
        assert_eq!(answer.status, 400, "{queries}");
        assert!(answer.text.contains(part), "{part}: {}", answer.text);
    }
    let backwards = json!({
        "Namespace": "n", "MetricName": "m", "Period": 60, "Statistics": ["Sum"],
        "StartTime": NOW, "EndTime": NOW - 60,
    });
    let refused = call(&bench, "GetMetricStatistics", backwards).await;
    assert!(refused.text.contains("StartTime must be less"), "{}", refused.text);
    let many = json!({
        "Namespace": "n", "MetricName": "m", "Period": 1, "Statistics": ["Sum"],
        "StartTime": NOW - 86_400, "EndTime": NOW,
    });
    let refused = call(&bench, "GetMetricStatistics", many).await;
    assert!(refused.text.contains("exceeds the limit of 1440"), "{}", refused.text);
}

fn alarm(more: Value) -> Value {
    let mut all = json!({
        "AlarmName": "busy", "Namespace": "My/App", "MetricName": "m", "Statistic": "Average",
        "Period": 60, "EvaluationPeriods": 3, "DatapointsToAlarm": 2, "Threshold": 80.0,
        "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching",
        "Dimensions": [{"Name": "Host", "Value": "a"}], "AlarmDescription": "d",
        "Tags": [{"Key": "team", "Value": "a"}],
    });
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => drop(all.as_object_mut().unwrap().remove(name)),
            value => all[name] = value.clone(),
        }
    }
    all
}

#[tokio::test]
async fn an_alarm_is_described_as_it_was_put() {
    let bench = Bench::new();
    call(&bench, "PutMetricAlarm", alarm(json!({}))).await.ok();
    let all = call(&bench, "DescribeAlarms", json!({})).await.ok();
    let told = &all["MetricAlarms"][0];
    for (name, value) in alarm(json!({"Tags": null})).as_object().unwrap() {
        assert_eq!(&told[name], value, "{name}");
    }
    let arn = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:busy";
    assert_eq!(told["AlarmArn"], arn);
    assert_eq!(
        (&told["StateValue"], &told["ActionsEnabled"]),
        (&json!("INSUFFICIENT_DATA"), &json!(true))
    );
    assert_eq!(all["CompositeAlarms"], json!([]));
    let tags = call(&bench, "ListTagsForResource", json!({"ResourceARN": arn})).await.ok();
    assert_eq!(tags["Tags"], json!([{"Key": "team", "Value": "a"}]));
    let body = json!({"AlarmName": "busy", "StateValue": "ALARM", "StateReason": "by hand"});
    call(&bench, "SetAlarmState", body).await.ok();
    let body = json!({"StateValue": "ALARM"});
    let set = call(&bench, "DescribeAlarms", body).await.ok();
    assert_eq!(set["MetricAlarms"][0]["StateReason"], "by hand");
    let of = |value: &str| {
        json!({
            "Namespace": "My/App", "MetricName": "m", "Dimensions": [{"Name": "Host", "Value": value}],
        })
    };
    let count = async |value: &str| {
        let found = call(&bench, "DescribeAlarmsForMetric", of(value)).await.ok();
        found["MetricAlarms"].as_array().unwrap().len()
    };
    assert_eq!((count("a").await, count("b").await), (1, 0));
    let history = call(&bench, "DescribeAlarmHistory", json!({"AlarmName": "busy"})).await.ok();
    let items = history["AlarmHistoryItems"].as_array().unwrap();
    assert_eq!(items[0]["HistorySummary"], "Alarm updated from INSUFFICIENT_DATA to ALARM");
    assert_eq!(items[1]["HistoryItemType"], "ConfigurationUpdate");
    call(&bench, "DeleteAlarms", json!({"AlarmNames": ["busy"]})).await.ok();
    let gone = call(&bench, "DeleteAlarms", json!({"AlarmNames": ["busy"]})).await;
    assert_eq!(gone.status, 404, "{}", gone.text);
}

#[tokio::test]
async fn an_alarm_on_an_expression_comes_back_whole() {
    let bench = Bench::new();
    let metrics = json!([
        {"Id": "m1", "MetricStat": stat("m", "p90"), "ReturnData": false},
        {"Id": "e1", "Expression": "m1 * 2", "Label": "twice", "ReturnData": true},
    ]);
    let single = json!({
        "Metrics": metrics.clone(), "Namespace": null, "MetricName": null, "Statistic": null,
        "Period": null, "Dimensions": null,
    });
    call(&bench, "PutMetricAlarm", alarm(single)).await.ok();
    let all = call(&bench, "DescribeAlarms", json!({"AlarmNamePrefix": "bu"})).await.ok();
    let told = all["MetricAlarms"][0]["Metrics"].as_array().unwrap();
    assert_eq!(told[1], metrics[1]);
    assert_eq!(told[0]["MetricStat"]["Stat"], "p90");
}

#[tokio::test]
async fn what_alarms_are_refused() {
    let bench = Bench::new();
    for (more, part) in [
        (json!({"Period": 15}), "Period"),
        (json!({"Statistic": null}), "Statistic"),
        (json!({"ExtendedStatistic": "p90"}), "Statistic"),
        (json!({"TreatMissingData": "sometimes"}), "TreatMissingData"),
        (json!({"DatapointsToAlarm": 4}), "DatapointsToAlarm"),
        (json!({"ComparisonOperator": "GreaterThanUpperThreshold"}), "anomaly detection"),
        (json!({"ThresholdMetricId": "x"}), "ThresholdMetricId"),
        (json!({"AlarmActions": ["arn:aws:sns:eu-west-1:123456789012:topic"]}), "AlarmActions"),
        (json!({"Metrics": [{"Id": "e", "Expression": "1"}]}), "Metrics"),
        (json!({"Threshold": null}), "Threshold"),
    ] {
        let answer = call(&bench, "PutMetricAlarm", alarm(more.clone())).await;
        assert_eq!(answer.status, 400, "{more}");
        assert!(answer.text.contains(part), "{part}: {}", answer.text);
    }
    let composite = json!({"AlarmName": "c", "AlarmRule": "ALARM(x)"});
    assert_eq!(call(&bench, "PutCompositeAlarm", composite).await.status, 501);
}
