//! What each of ECS's operations needs: one line an operation, for all of them.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html>

use aws::ecs::Operation;

use super::request::Asked;
use super::{Need, passing};

/// How an operation names its resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    /// It names none.
    Everything,
    /// The cluster that it is about (`cluster`).
    Cluster,
    /// Clusters in this member.
    Clusters(&'static str),
    /// Something of this kind in the request's cluster, in this member.
    InCluster(&'static str, &'static str),
    /// The same; where the member is missing, all of the kind in the cluster.
    AnyInCluster(&'static str, &'static str),
    /// Task definitions in this member.
    Definitions(&'static str),
    /// The family of a definition that is registered.
    Family,
    /// Something of this kind, without a cluster, in this member.
    Named(&'static str, &'static str),
    /// Task sets of the request's service: those that it names, else all.
    TaskSets,
    /// Attributes' targets.
    Targets,
    /// ARNs in this member.
    Arns(&'static str),
}

#[expect(clippy::too_many_lines, reason = "one line an operation")]
const fn on(operation: Operation) -> On {
    use On::{
        AnyInCluster, Arns, Cluster, Clusters, Definitions, Everything, Family, InCluster, Named,
        Targets, TaskSets,
    };
    use Operation as O;
    match operation {
        O::CreateCluster => Clusters("clusterName"),
        O::DeleteCluster
        | O::UpdateCluster
        | O::UpdateClusterSettings
        | O::PutClusterCapacityProviders
        | O::RegisterContainerInstance
        | O::DeregisterContainerInstance
        | O::ListContainerInstances
        | O::ListAttributes
        | O::SubmitTaskStateChange
        | O::SubmitContainerStateChange
        | O::SubmitAttachmentStateChanges
        | O::AssociateGatewayWithCluster
        | O::DisassociateGatewayFromCluster
        | O::ListGatewayClusterAssociations
        | O::ListGatewayRoutes => Cluster,
        O::DescribeClusters => Clusters("clusters"),
        O::CreateService => InCluster("service", "serviceName"),
        O::UpdateService
        | O::DeleteService
        | O::ListServiceDeployments
        | O::UpdateServicePrimaryTaskSet => InCluster("service", "service"),
        O::DescribeServices => InCluster("service", "services"),
        O::CreateTaskSet | O::UpdateTaskSet | O::DeleteTaskSet | O::DescribeTaskSets => TaskSets,
        O::RunTask | O::StartTask => Definitions("taskDefinition"),
        O::StopTask | O::ExecuteCommand => InCluster("task", "task"),
        O::DescribeTasks => InCluster("task", "tasks"),
        O::GetTaskProtection | O::UpdateTaskProtection => InCluster("task", "tasks"),
        O::ListTasks => AnyInCluster("container-instance", "containerInstance"),
        O::DiscoverPollEndpoint | O::UpdateContainerAgent => {
            AnyInCluster("container-instance", "containerInstance")
        }
        O::DescribeContainerInstances | O::UpdateContainerInstancesState => {
            InCluster("container-instance", "containerInstances")
        }
        O::PutAttributes | O::DeleteAttributes => Targets,
        O::RegisterTaskDefinition => Family,
        O::DeleteTaskDefinitions => Definitions("taskDefinitions"),
        O::CreateCapacityProvider => Named("capacity-provider", "name"),
        O::DeleteCapacityProvider => Named("capacity-provider", "capacityProvider"),
        O::UpdateCapacityProvider => Named("capacity-provider", "name"),
        O::DescribeCapacityProviders => Named("capacity-provider", "capacityProviders"),
        O::TagResource | O::UntagResource | O::ListTagsForResource => Arns("resourceArn"),
        O::StopServiceDeployment | O::ContinueServiceDeployment => Arns("serviceDeploymentArn"),
        O::DescribeServiceDeployments => Arns("serviceDeploymentArns"),
        O::DescribeServiceRevisions => Arns("serviceRevisionArns"),
        O::CreateExpressGatewayService
        | O::UpdateExpressGatewayService
        | O::DescribeExpressGatewayService
        | O::DeleteExpressGatewayService => Arns("serviceArn"),
        O::UpdateDaemon | O::DeleteDaemon | O::DescribeDaemon | O::ListDaemonDeployments => {
            Arns("daemonArn")
        }
        O::DescribeDaemonDeployments => Arns("daemonDeploymentArns"),
        O::DescribeDaemonRevisions => Arns("daemonRevisionArns"),
        O::DescribeGatewayRoute => Arns("gatewayRouteArn"),
        // AWS knows no resource for these, or they are not built.
        O::ListServices
        | O::ListServicesByNamespace
        | O::ListClusters
        | O::DescribeTaskDefinition
        | O::DeregisterTaskDefinition
        | O::ListTaskDefinitions
        | O::ListTaskDefinitionFamilies
        | O::PutAccountSetting
        | O::PutAccountSettingDefault
        | O::DeleteAccountSetting
        | O::ListAccountSettings
        | O::CreateDaemon
        | O::ListDaemons
        | O::RegisterDaemonTaskDefinition
        | O::DescribeDaemonTaskDefinition
        | O::DeleteDaemonTaskDefinition
        | O::ListDaemonTaskDefinitions
        | O::CreateGateway
        | O::UpdateGateway
        | O::DeleteGateway
        | O::DescribeGateway
        | O::DescribeGatewayResources
        | O::ListGateways => Everything,
    }
}

/// What the request needs: its own action, tagging if it brings tags for something new, and passing
/// the roles that it gives to tasks.
pub(super) fn needs(asked: &Asked<'_>, operation: Operation) -> Vec<Need> {
    let resources = resources(asked, on(operation));
    let mut needs = Vec::new();
    let mut own = Need::new(format!("ecs:{operation}"), resources.clone());
    if asked.body.get("cluster").is_some() || in_a_cluster(on(operation)) {
        own = own.with("ecs:cluster", asked.cluster_arn());
    }
    if let Some(service) = asked.text("serviceName").or_else(|| asked.text("service")) {
        let arn = format!("service/{}/{}", asked.cluster(), last(service));
        own = own.with("ecs:service", asked.arn("ecs", &arn));
    }
    if let Some(task) = asked.text("task") {
        let arn = format!("task/{}/{}", asked.cluster(), last(task));
        own = own.with("ecs:task", asked.arn("ecs", &arn));
    }
    if let Some(container) = asked.text("container") {
        own = own.with("ecs:container-name", container);
    }
    if let Some(exec) = asked.body.get("enableExecuteCommand").and_then(serde_json::Value::as_bool)
    {
        own = own.with("ecs:enable-execute-command", exec.to_string());
    }
    let tags = asked.tags();
    own.context.extend(tags.clone());
    needs.push(own);
    let tags_something_new = asked.body.get("tags").and_then(|tags| tags.as_array());
    if tags_something_new.is_some_and(|tags| !tags.is_empty())
        && operation != Operation::TagResource
    {
        let mut tagging = Need::new("ecs:TagResource", tagged(asked, operation, resources))
            .with("ecs:CreateAction", operation.name());
        tagging.context.extend(tags);
        needs.push(tagging);
    }
    needs.extend(passing::needs(asked, operation));
    needs
}

/// What the tags are put on: the tasks of a run have no names yet.
fn tagged(asked: &Asked<'_>, operation: Operation, resources: Vec<String>) -> Vec<String> {
    match operation {
        Operation::RunTask | Operation::StartTask => {
            vec![asked.arn("ecs", &format!("task/{}/*", asked.cluster()))]
        }
        Operation::RegisterContainerInstance => {
            vec![asked.arn("ecs", &format!("container-instance/{}/*", asked.cluster()))]
        }
        _ => resources,
    }
}

const fn in_a_cluster(on: On) -> bool {
    matches!(
        on,
        On::Cluster | On::InCluster(..) | On::AnyInCluster(..) | On::Targets | On::TaskSets
    )
}

fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn resources(asked: &Asked<'_>, on: On) -> Vec<String> {
    let cluster = |name: &str| asked.arn("ecs", &format!("cluster/{name}"));
    let or = |found: Vec<String>, other: &dyn Fn() -> String| {
        if found.is_empty() { vec![other()] } else { found }
    };
    match on {
        On::Everything => Vec::new(),
        On::Cluster => vec![asked.cluster_arn()],
        On::Clusters(member) => or(asked.arns(member, cluster), &|| cluster("default")),
        On::InCluster(kind, member) => asked.in_cluster(kind, member),
        On::AnyInCluster(kind, member) => or(asked.in_cluster(kind, member), &|| {
            asked.arn("ecs", &format!("{kind}/{}/*", asked.cluster()))
        }),
        On::Definitions(member) => asked.definitions(member),
        On::Family => {
            let family = asked.text("family").unwrap_or_default();
            vec![asked.arn("ecs", &format!("task-definition/{family}:*"))]
        }
        On::Named(kind, member) => {
            asked.arns(member, |name| asked.arn("ecs", &format!("{kind}/{name}")))
        }
        On::TaskSets => {
            let service = last(asked.text("service").unwrap_or_default());
            let of = |id: &str| {
                asked.arn("ecs", &format!("task-set/{}/{service}/{id}", asked.cluster()))
            };
            let named = asked.text("taskSet").into_iter().chain(asked.texts("taskSets"));
            or(named.map(|id| of(&format!("ecs-svc/{}", last(id)))).collect(), &|| of("*"))
        }
        On::Targets => {
            let attributes = asked.body.get("attributes").and_then(|list| list.as_array());
            let targets = attributes.into_iter().flatten().filter_map(|attribute| {
                let id = attribute.get("targetId")?.as_str()?;
                let rest = format!("container-instance/{}/{}", asked.cluster(), last(id));
                Some(asked.arn("ecs", &rest))
            });
            targets.collect()
        }
        On::Arns(member) => asked.texts(member).into_iter().map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Realm, State};
    use serde_json::{Value, json};

    fn first(operation: Operation, body: &Value) -> (String, Vec<String>) {
        let state = State::new(Realm::new("eu-west-1", "123456789012"));
        let asked = Asked { state: &state, body, secret: None };
        let need = needs(&asked, operation).swap_remove(0);
        (need.action, need.resources)
    }

    #[test]
    fn names_and_arns_become_the_same_resources() {
        const ARN: &str = "arn:aws:ecs:eu-west-1:123456789012:";
        for (operation, body, resources) in [
            (Operation::DescribeClusters, json!({}), &["cluster/default"][..]),
            (Operation::DeleteCluster, json!({"cluster": "c"}), &["cluster/c"]),
            (
                Operation::DeleteCluster,
                json!({"cluster": format!("{ARN}cluster/c")}),
                &["cluster/c"],
            ),
            (Operation::StopTask, json!({"cluster": "c", "task": "0f"}), &["task/c/0f"]),
            (
                Operation::DescribeTasks,
                json!({"tasks": ["0f", format!("{ARN}task/c/1f")]}),
                &["task/default/0f", "task/c/1f"],
            ),
            (Operation::RunTask, json!({"taskDefinition": "web:3"}), &["task-definition/web:3"]),
            (
                Operation::RegisterTaskDefinition,
                json!({"family": "web"}),
                &["task-definition/web:*"],
            ),
            (Operation::ListTasks, json!({"cluster": "c"}), &["container-instance/c/*"]),
            (Operation::CreateService, json!({"serviceName": "s"}), &["service/default/s"]),
            (Operation::CreateTaskSet, json!({"service": "s"}), &["task-set/default/s/*"]),
            (
                Operation::DeleteTaskSet,
                json!({"service": "s", "taskSet": "ecs-svc/12"}),
                &["task-set/default/s/ecs-svc/12"],
            ),
        ] {
            let (action, found) = first(operation, &body);
            assert_eq!(action, format!("ecs:{operation}"));
            let expected: Vec<String> = resources.iter().map(|r| format!("{ARN}{r}")).collect();
            assert_eq!(found, expected, "{operation} {body}");
        }
        assert_eq!(first(Operation::ListClusters, &json!({})).1, ["*"]);
    }
}
