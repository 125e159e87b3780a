//! Clusters: create, update, describe, list, delete.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/clusters.html>

use std::collections::BTreeMap;

use aws::Error;
use aws::ecs::{
    Cluster as Wire, ClusterField, ClusterServiceConnectDefaultsRequest, ClusterSetting,
    ClusterSettingName, CreateClusterRequest, CreateClusterResponse, DeleteClusterRequest,
    DeleteClusterResponse, DescribeClustersRequest, DescribeClustersResponse, KeyValuePair,
    ListClustersRequest, ListClustersResponse, UpdateClusterRequest, UpdateClusterResponse,
    UpdateClusterSettingsRequest, UpdateClusterSettingsResponse,
};
use model::{Cluster, ClusterName, ClusterStatus, Insights, LaunchType, ServiceStatus, State};
use scheduler::{CapacityCommand, Command, Reply};

use crate::door::{Caller, Door, odd_reply};
use crate::errors::{invalid, missing};
use crate::page::{Order, Page};
use crate::refuse::PARAMETER;
use crate::view::{cluster_status, count, pair};
use crate::{capacity, exec_config, refer, settings, tag_list, view};

/// How many clusters can be described at once.
const MOST_DESCRIBED: usize = 100;

/// What of a cluster is shown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shown {
    pub(crate) tags: bool,
    pub(crate) statistics: bool,
    pub(crate) configuration: bool,
    pub(crate) attachments: bool,
}

impl Shown {
    /// What an operation that changes a cluster answers with.
    pub(crate) const CHANGED: Self =
        Self { tags: true, statistics: false, configuration: true, attachments: false };
}

/// Again for an active cluster it answers with that cluster, as ECS does.
pub(crate) async fn create(
    door: &Door,
    caller: &Caller,
    request: CreateClusterRequest,
) -> Result<CreateClusterResponse, Error> {
    let insights = read_settings(request.settings.as_deref())?;
    let exec_logging = exec_config::read(request.configuration.as_ref())?;
    check_connect(request.service_connect_defaults.as_ref())?;
    let capacity = capacity::of_cluster(
        &door.snapshot(),
        request.capacity_providers.as_deref(),
        request.default_capacity_provider_strategy.as_ref(),
    )?;
    let given = request.cluster_name.as_deref();
    if given.is_some_and(|name| !name.is_empty() && !refer::is_name(name)) {
        return Err(invalid(
            "clusterName: it has up to 255 letters, digits, hyphens and underscores.",
        ));
    }
    let name = refer::cluster_name(door.realm(), given)?;
    if name.is_fargates() {
        return Err(invalid(format!(
            "clusterName: {name} is where nodes are registered that offer Fargate alone; take another."
        )));
    }
    let tags = tag_list::read(request.tags.as_ref())?;
    let before = door.snapshot();
    let active = |cluster: &&std::sync::Arc<Cluster>| cluster.status == ClusterStatus::Active;
    let fresh = before.cluster(&name).filter(active).is_none();
    // What nobody says is as the caller's account setting has it.
    let usual = || before.settings().insights(&before.realm().root(), &settings::principal(caller));
    let insights = insights.or_else(|| Some(usual()).filter(|i| *i != Insights::Disabled));
    let mut committed = door.submit(Command::CreateCluster { name: name.clone(), tags }).await?;
    if let Some(insights) = insights.filter(|_| fresh) {
        let name = name.clone();
        committed = door.submit(Command::SetInsights { name, insights }).await?;
    }
    if let Some((providers, strategy)) = capacity.filter(|_| fresh) {
        let cluster = name.clone();
        let command = CapacityCommand::PutClusterProviders { cluster, providers, strategy };
        committed = door.submit(Command::Capacity(command)).await?;
    }
    if let Some(exec_logging) = exec_logging.filter(|_| fresh) {
        committed = door.submit(Command::ConfigureCluster { name, exec_logging }).await?;
    }
    let Reply::Cluster(name) = &committed.reply else {
        return Err(odd_reply("CreateCluster", &committed.reply));
    };
    let shown = Shown::CHANGED;
    Ok(CreateClusterResponse { cluster: find(&committed.state, name, shown) })
}

/// UpdateCluster.
pub(crate) async fn update(
    door: &Door,
    request: UpdateClusterRequest,
) -> Result<UpdateClusterResponse, Error> {
    let mut state = door.snapshot();
    let name = refer::cluster(&state, request.cluster.as_deref())?;
    let insights = read_settings(request.settings.as_deref())?;
    let exec_logging = exec_config::read(request.configuration.as_ref())?;
    check_connect(request.service_connect_defaults.as_ref())?;
    if let Some(insights) = insights {
        let command = Command::SetInsights { name: name.clone(), insights };
        state = door.submit(command).await?.state;
    }
    if let Some(exec_logging) = exec_logging {
        let command = Command::ConfigureCluster { name: name.clone(), exec_logging };
        state = door.submit(command).await?.state;
    }
    let shown = Shown::CHANGED;
    Ok(UpdateClusterResponse { cluster: find(&state, &name, shown) })
}

/// UpdateClusterSettings.
pub(crate) async fn update_settings(
    door: &Door,
    request: UpdateClusterSettingsRequest,
) -> Result<UpdateClusterSettingsResponse, Error> {
    let mut state = door.snapshot();
    let name = refer::cluster(&state, request.cluster.as_deref())?;
    if let Some(insights) = read_settings(request.settings.as_deref())? {
        let command = Command::SetInsights { name: name.clone(), insights };
        state = door.submit(command).await?.state;
    }
    Ok(UpdateClusterSettingsResponse {
        cluster: find(&state, &name, Shown { tags: false, ..Shown::CHANGED }),
    })
}

/// Deleted clusters are described too, as inactive.
pub(crate) fn describe(
    state: &State,
    request: &DescribeClustersRequest,
) -> Result<DescribeClustersResponse, Error> {
    let include = request.include.as_deref().unwrap_or_default();
    let shown = Shown {
        tags: include.contains(&ClusterField::Tags),
        statistics: include.contains(&ClusterField::Statistics),
        configuration: include.contains(&ClusterField::Configurations),
        attachments: include.contains(&ClusterField::Attachments),
    };
    let default = ["default".to_owned()];
    let given = match request.clusters.as_deref() {
        Some(given) if !given.is_empty() => given,
        _ => &default,
    };
    if given.len() > MOST_DESCRIBED {
        return Err(invalid(format!(
            "clusters: at most {MOST_DESCRIBED} can be described at once."
        )));
    }
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for given in given {
        let name = refer::cluster_name(state.realm(), Some(given))?;
        match find(state, &name, shown) {
            Some(cluster) => clusters.push(cluster),
            None => failures.push(missing(state.realm().cluster(&name))),
        }
    }
    Ok(DescribeClustersResponse { clusters: Some(clusters), failures: Some(failures) })
}

pub(crate) fn list(
    state: &State,
    request: &ListClustersRequest,
) -> Result<ListClustersResponse, Error> {
    let question = ListClustersRequest { next_token: None, max_results: None };
    let token = request.next_token.as_deref();
    let page = Page::of_100("ListClusters", token, request.max_results).of(&question)?;
    let arns = state
        .clusters()
        .filter(|cluster| cluster.status == ClusterStatus::Active)
        .map(|cluster| (cluster.name.to_string(), state.realm().cluster(&cluster.name)))
        .collect();
    let (cluster_arns, next_token) = page.cut(arns, Order::Ascending)?;
    Ok(ListClustersResponse { cluster_arns: Some(cluster_arns), next_token })
}

pub(crate) async fn delete(
    door: &Door,
    request: DeleteClusterRequest,
) -> Result<DeleteClusterResponse, Error> {
    let name = refer::cluster_name(door.realm(), request.cluster.as_deref())?;
    let committed = door.submit(Command::DeleteCluster(name.clone())).await?;
    Ok(DeleteClusterResponse { cluster: find(&committed.state, &name, Shown::default()) })
}

/// What the settings say of Container Insights, if they do.
fn read_settings(settings: Option<&[ClusterSetting]>) -> Result<Option<Insights>, Error> {
    let mut insights = None;
    for setting in settings.unwrap_or_default() {
        match (&setting.name, setting.value.as_deref()) {
            (Some(ClusterSettingName::ContainerInsights), Some("disabled")) => {
                insights = Some(Insights::Disabled);
            }
            (Some(ClusterSettingName::ContainerInsights), Some("enabled")) => {
                insights = Some(Insights::Enabled);
            }
            (Some(ClusterSettingName::ContainerInsights), Some("enhanced")) => {
                insights = Some(Insights::Enhanced);
            }
            (Some(ClusterSettingName::ContainerInsights), value) => {
                return Err(invalid(format!(
                    "settings: containerInsights can not be \"{}\"; it is disabled, enabled or \
                     enhanced.",
                    value.unwrap_or_default()
                )));
            }
            (name, _) => {
                return Err(invalid(format!(
                    "settings: there is no setting \"{}\".",
                    name.as_ref().map(ClusterSettingName::as_str).unwrap_or_default()
                )));
            }
        }
    }
    Ok(insights)
}

fn check_connect(defaults: Option<&ClusterServiceConnectDefaultsRequest>) -> Result<(), Error> {
    let namespace = defaults.and_then(|defaults| defaults.namespace.as_ref());
    PARAMETER.text("serviceConnectDefaults", namespace, "Service Connect is")
}

pub(crate) fn find(state: &State, name: &ClusterName, shown: Shown) -> Option<Wire> {
    state.cluster(name).map(|cluster| cluster_view(state, cluster, shown))
}

/// A cluster as it is described. Clients rely upon `capacityProviders`, `settings` and
/// `defaultCapacityProviderStrategy` being there, whatever was asked to be included.
pub(crate) fn cluster_view(state: &State, cluster: &Cluster, shown: Shown) -> Wire {
    let (running, pending) = state.cluster_counts(&cluster.name);
    let configuration = cluster.exec_logging.as_ref().filter(|_| shown.configuration);
    let services = |status| state.services(&cluster.name).filter(|s| s.status == status).count();
    Wire {
        cluster_arn: Some(state.realm().cluster(&cluster.name)),
        cluster_name: Some(cluster.name.to_string()),
        status: Some(cluster_status(cluster.status).to_owned()),
        registered_container_instances_count: Some(count(state.instances(&cluster.name).count())),
        running_tasks_count: Some(count(running)),
        pending_tasks_count: Some(count(pending)),
        active_services_count: Some(count(services(ServiceStatus::Active))),
        statistics: Some(if shown.statistics {
            statistics(state, &cluster.name)
        } else {
            Vec::new()
        }),
        tags: Some(if shown.tags { view::tags(&cluster.tags) } else { Vec::new() }),
        settings: Some(vec![ClusterSetting {
            name: Some(ClusterSettingName::ContainerInsights),
            value: Some(insights(cluster.insights).to_owned()),
        }]),
        configuration: configuration.map(exec_config::show),
        // What AWS attaches to clusters, scaling plans for one, is not a resource here.
        attachments: shown.attachments.then(Vec::new),
        capacity_providers: Some(
            cluster.capacity_providers.iter().map(ToString::to_string).collect(),
        ),
        default_capacity_provider_strategy: Some(capacity::show(&cluster.default_strategy)),
        ..Wire::default()
    }
}

const fn insights(insights: Insights) -> &'static str {
    match insights {
        Insights::Disabled => "disabled",
        Insights::Enabled => "enabled",
        Insights::Enhanced => "enhanced",
    }
}

/// Counts by launch type, under the names that ECS gives them.
fn statistics(state: &State, cluster: &ClusterName) -> Vec<KeyValuePair> {
    let mut all = Vec::new();
    let mut tasks: BTreeMap<LaunchType, (usize, usize)> = BTreeMap::new();
    for task in state.tasks(cluster) {
        let (running, pending) = tasks.entry(task.facts.launch_type).or_default();
        *running += usize::from(task.is_running());
        *pending += usize::from(task.is_pending());
    }
    for (launch, name) in [
        (LaunchType::Ec2, "EC2"),
        (LaunchType::Fargate, "Fargate"),
        (LaunchType::External, "External"),
    ] {
        let services = |status| {
            let of =
                |s: &&std::sync::Arc<model::Service>| s.launch_type == launch && s.status == status;
            state.services(cluster).filter(of).count()
        };
        let (running, pending) = tasks.get(&launch).copied().unwrap_or_default();
        all.push(pair(&format!("running{name}TasksCount"), running));
        all.push(pair(&format!("pending{name}TasksCount"), pending));
        all.push(pair(&format!("active{name}ServiceCount"), services(ServiceStatus::Active)));
        all.push(pair(&format!("draining{name}ServiceCount"), services(ServiceStatus::Draining)));
    }
    all
}
