//! The platform's metrics in Prometheus' text: a family for each metric and statistic, a line for each
//! set of dimensions, named as Prometheus' own exporter for CloudWatch names them.
//! <https://github.com/prometheus/cloudwatch_exporter>
//!
//! Names and labels are ours or those of resources, so they are bounded; what clients put by
//! PutMetricData is not shown. Values are those of the last whole minute; at most [`MOST`] metrics are
//! shown, and how many are not is told.

use std::collections::BTreeMap;
use std::fmt::Write;

use telemetry::metrics::Shown;
use telemetry::{Metrics, StatisticSet};

use crate::metrics::{head, line};

/// The namespaces that are shown.
const NAMESPACES: [&str; 4] =
    ["AWS/ApplicationELB", "AWS/ECS", "AWS/NetworkELB", "ECS/ContainerInsights"];
/// The most metrics, each of which has five lines.
const MOST: usize = 2_000;

type Statistic = (&'static str, fn(&StatisticSet) -> f64);

/// The ends of names, and what they mean.
const STATISTICS: [Statistic; 5] = [
    ("average", |set| set.sum / set.count),
    ("maximum", |set| set.max),
    ("minimum", |set| set.min),
    ("sample_count", |set| set.count),
    ("sum", |set| set.sum),
];

/// Appends every series.
pub(crate) fn render(text: &mut String, metrics: &Metrics) {
    let (shown, beyond) = metrics.last_minute(&NAMESPACES, MOST).unwrap_or_else(|error| {
        tracing::error!(error = %stdx::chain(&error), "metrics could not be read");
        (Vec::new(), 0)
    });
    for (name, help, value) in [
        ("wharf_metrics_series", "Series in the metric store.", metrics.count()),
        ("wharf_metrics_series_not_shown", "Series that are too many to be shown here.", beyond),
    ] {
        head(text, name, help, "gauge");
        line(text, name, "", &value);
    }
    families(text, &shown);
}

/// What one metric has: what it is called in CloudWatch, and a line for each set of dimensions.
type Family<'s> = (String, Vec<(String, &'s StatisticSet)>);

fn families(text: &mut String, shown: &[Shown]) {
    let mut families: BTreeMap<String, Family<'_>> = BTreeMap::new();
    for one in shown {
        let name = format!("{}_{}", snake(&one.id.namespace), snake(&one.id.name));
        let what = format!("{} {} ({})", one.id.namespace, one.id.name, one.unit);
        let (_, lines) = families.entry(name).or_insert_with(|| (what, Vec::new()));
        lines.push((labels(&one.id.dimensions), &one.set));
    }
    for (name, (what, lines)) in &families {
        for (statistic, of) in STATISTICS {
            let name = format!("{name}_{statistic}");
            head(text, &name, &format!("{what}, {statistic} of the last whole minute."), "gauge");
            for (labels, set) in lines {
                line(text, &name, labels, &of(set));
            }
        }
    }
}

fn labels(dimensions: &[(String, String)]) -> String {
    let mut labels = String::new();
    for (name, value) in dimensions {
        let comma = if labels.is_empty() { "" } else { "," };
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _infallible = write!(labels, "{comma}{}=\"{value}\"", snake(name));
    }
    labels
}

/// `CPUUtilization` becomes `cpuutilization` and `ClusterName` `cluster_name`, as the exporter has it:
/// a capital after a small letter begins a word.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    let mut small = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && small {
            snake.push('_');
        }
        small = c.is_ascii_lowercase() || c.is_ascii_digit();
        let plain = if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        if plain != '_' || !snake.ends_with('_') {
            snake.push(plain);
        }
    }
    snake
}

#[cfg(test)]
mod tests {
    use telemetry::{MetricId, Unit};

    use super::*;

    #[test]
    fn names_are_those_of_the_exporter() {
        for (name, expected) in [
            ("CPUUtilization", "cpuutilization"),
            ("MemoryUtilization", "memory_utilization"),
            ("HTTPCode_Target_2XX_Count", "httpcode_target_2_xx_count"),
            ("ClusterName", "cluster_name"),
            ("AWS/ECS", "aws_ecs"),
        ] {
            assert_eq!(snake(name), expected);
        }
    }

    #[test]
    fn a_family_has_its_head_once_and_labels_are_escaped() {
        let shown = |service: &str| Shown {
            id: MetricId::new("AWS/ECS", "CPUUtilization", [("ServiceName", service)]),
            unit: Unit::Percent,
            set: StatisticSet { sum: 60.0, count: 2.0, min: 10.0, max: 50.0 },
        };
        let mut text = String::new();
        families(&mut text, &[shown("web"), shown("a\"b\\c")]);
        for wanted in [
            "# TYPE aws_ecs_cpuutilization_average gauge",
            "# HELP aws_ecs_cpuutilization_average AWS/ECS CPUUtilization (Percent), average of the last \
             whole minute.",
            "aws_ecs_cpuutilization_average{service_name=\"web\"} 30",
            "aws_ecs_cpuutilization_maximum{service_name=\"web\"} 50",
            "aws_ecs_cpuutilization_sample_count{service_name=\"a\\\"b\\\\c\"} 2",
        ] {
            assert_eq!(text.lines().filter(|l| *l == wanted).count(), 1, "{wanted} in\n{text}");
        }
    }
}
