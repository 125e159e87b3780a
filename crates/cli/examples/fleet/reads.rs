//! What reading costs: every Describe and List of ECS that a busy client makes, each for itself.

use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::http::Pool;
use crate::load::{Calls, steady};
use crate::meter::{Process, now, row};

/// So many pages in is a deep page.
const DEEP: usize = 50;
/// So many instances lend their tasks to be described.
const SAMPLED: usize = 100;

/// What is asked for.
struct Samples {
    cluster: String,
    family: String,
    tasks: Vec<Value>,
    instances: Vec<Value>,
    services: Vec<Value>,
    deep: Value,
}

async fn names(
    pool: &Pool,
    operation: &str,
    list: &str,
    request: Value,
) -> Result<(Vec<Value>, Value)> {
    let mut page = pool.ask(operation, &request).await?;
    let found = page[list].as_array().cloned().unwrap_or_default();
    Ok((found, page["nextToken"].take()))
}

impl Samples {
    async fn take(pool: &Pool, cluster: &str, family: &str) -> Result<Self> {
        let request = json!({"cluster": cluster});
        let (instances, _) =
            names(pool, "ListContainerInstances", "containerInstanceArns", request.clone()).await?;
        let (services, _) = names(pool, "ListServices", "serviceArns", request.clone()).await?;
        let mut tasks = Vec::new();
        for instance in instances.iter().take(SAMPLED) {
            let request = json!({"cluster": cluster, "containerInstance": instance});
            tasks.extend(names(pool, "ListTasks", "taskArns", request).await?.0);
        }
        // Neighbours in the books are apart in a request.
        let mut mixed = Vec::new();
        for at in 0..101.min(tasks.len()) {
            mixed.extend(tasks.iter().skip(at).step_by(101).cloned());
        }
        let (tasks, mut deep) = (mixed, Value::Null);
        for _ in 0..DEEP {
            let mut request = json!({"cluster": cluster});
            if deep.is_string() {
                request["nextToken"] = deep.clone();
            }
            let (_, next) = names(pool, "ListTasks", "taskArns", request).await?;
            if !next.is_string() {
                break;
            }
            deep = next;
        }
        let cluster = cluster.to_owned();
        Ok(Self { cluster, family: family.to_owned(), tasks, instances, services, deep })
    }

    /// A call for `count` of some things, others each time.
    fn some(
        &self,
        operation: &'static str,
        member: &'static str,
        all: &[Value],
        count: usize,
    ) -> Calls {
        let (cluster, all): (String, Arc<[Value]>) = (self.cluster.clone(), all.into());
        Calls::new(operation, move |number| {
            let from = usize::try_from(number).unwrap_or(0) * count;
            let some: Vec<&Value> =
                (from..from + count.min(all.len())).map(|at| &all[at % all.len()]).collect();
            json!({"cluster": cluster, member: some}).to_string().into_bytes()
        })
    }

    /// A call that is the same each time, in the cluster.
    fn same(&self, operation: &'static str, mut request: Value) -> Calls {
        request["cluster"] = json!(self.cluster);
        let body = request.to_string().into_bytes();
        Calls::new(operation, move |_| body.clone())
    }

    fn all(&self) -> Vec<(&'static str, Calls)> {
        let mut all = Vec::new();
        if !self.tasks.is_empty() {
            all.push(("DescribeTasks, 1", self.some("DescribeTasks", "tasks", &self.tasks, 1)));
            all.push(("DescribeTasks, 10", self.some("DescribeTasks", "tasks", &self.tasks, 10)));
            all.push(("DescribeTasks, 100", self.some("DescribeTasks", "tasks", &self.tasks, 100)));
        }
        let list = |request: Value| self.same("ListTasks", request);
        all.push(("ListTasks, first page", list(json!({}))));
        if self.deep.is_string() {
            all.push(("ListTasks, page 51", list(json!({"nextToken": self.deep}))));
        }
        all.push(("ListTasks by family", list(json!({"family": self.family}))));
        all.push(("ListTasks by startedBy, none", list(json!({"startedBy": "nobody"}))));
        all.push(("ListTasks, STOPPED", list(json!({"desiredStatus": "STOPPED"}))));
        all.push(("ListTasks by launchType, none", list(json!({"launchType": "EXTERNAL"}))));
        if let Some(instance) = self.instances.last() {
            all.push(("ListTasks by instance", list(json!({"containerInstance": instance}))));
            let (operation, member) = ("DescribeContainerInstances", "containerInstances");
            all.push((
                "DescribeContainerInstances, 1",
                self.some(operation, member, &self.instances, 1),
            ));
            all.push((
                "DescribeContainerInstances, 100",
                self.some(operation, member, &self.instances, 100),
            ));
        }
        all.push(("ListContainerInstances", self.same("ListContainerInstances", json!({}))));
        let filter = json!({"filter": "agentConnected == true and runningTasksCount > 0"});
        all.push(("ListContainerInstances, filter", self.same("ListContainerInstances", filter)));
        if let Some(service) = self.services.last() {
            all.push(("ListTasks by service", list(json!({"serviceName": service}))));
            let (operation, member) = ("DescribeServices", "services");
            all.push(("DescribeServices, 1", self.some(operation, member, &self.services, 1)));
            all.push(("DescribeServices, 10", self.some(operation, member, &self.services, 10)));
        }
        all.push(("ListServices", self.same("ListServices", json!({}))));
        let request = json!({"clusters": [self.cluster], "include": ["STATISTICS"]}).to_string();
        let body = request.into_bytes();
        all.push(("DescribeClusters", Calls::new("DescribeClusters", move |_| body.clone())));
        let body = json!({"taskDefinition": self.family}).to_string().into_bytes();
        let definition = Calls::new("DescribeTaskDefinition", move |_| body.clone());
        all.push(("DescribeTaskDefinition", definition));
        all
    }
}

/// Each reading operation at a rate, one after the other; `only` names some of them.
pub(crate) async fn run(
    pool: &Pool,
    place: (&str, &str),
    (rate, seconds): (f64, f64),
    only: Option<&str>,
    process: &mut Process,
) -> Result<()> {
    let samples = Samples::take(pool, place.0, place.1).await.context("look for what is there")?;
    row(&["milliseconds", "calls/s", "p50", "p99", "p99.9", "most", "cpu/call", ""]);
    for (name, calls) in samples.all() {
        if only.is_some_and(|only| !name.contains(only)) {
            continue;
        }
        // A call that is slow is made as often as two of three cores' time allow, so that what is
        // measured is not a line that grows.
        let begun = now();
        for number in 0..3 {
            calls.once(pool, number).await;
        }
        let each = begun.elapsed().as_secs_f64() / 3.0;
        let rate = rate.min(0.4 / each);
        process.lap();
        let mut series = steady(pool, &calls, rate, seconds).await;
        let (cpu, _) = process.lap();
        let count = series.waits.len() as f64;
        row(&[
            name,
            &format!("{rate:.0}"),
            &format!("{:.2}", series.millis(500)),
            &format!("{:.2}", series.millis(990)),
            &format!("{:.2}", series.millis(999)),
            &format!("{:.2}", series.millis(1000)),
            &format!("{:.3}", cpu * 1000.0 / count),
            &series.trouble(),
        ]);
    }
    Ok(())
}
