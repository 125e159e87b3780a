//! Clusters: made, made again, deleted when nothing is left in them.

use std::sync::Arc;

use model::{
    Change, Cluster, ClusterName, ClusterStatus, ExecLogging, Insights, ServiceStatus, Tags, Task,
};

use crate::desk::Desk;
use crate::{Rejection, Reply};

/// CreateCluster: an active one stays as it is, a deleted one comes back as new.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateCluster.html>
pub(super) fn create(
    desk: &mut Desk<'_>,
    name: &ClusterName,
    tags: &Tags,
) -> Result<Reply, Rejection> {
    let active = desk.state.cluster(name).is_some_and(|c| c.status == ClusterStatus::Active);
    if !active {
        desk.put(Change::PutCluster(Arc::new(Cluster {
            name: name.clone(),
            status: ClusterStatus::Active,
            tags: tags.clone(),
            created_at: desk.now,
            exec_logging: None,
            capacity_providers: Vec::new(),
            default_strategy: Vec::new(),
            insights: Insights::Disabled,
        })));
    }
    Ok(Reply::Cluster(name.clone()))
}

/// UpdateCluster: sessions that have begun go on as they are.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateCluster.html>
pub(super) fn configure(
    desk: &mut Desk<'_>,
    name: &ClusterName,
    exec_logging: &ExecLogging,
) -> Result<Reply, Rejection> {
    let cluster = super::active_cluster(desk.state, name)?;
    if cluster.exec_logging.as_ref() != Some(exec_logging) {
        let exec_logging = Some(exec_logging.clone());
        let next = Cluster { exec_logging, ..Cluster::clone(cluster) };
        desk.put(Change::PutCluster(Arc::new(next)));
    }
    Ok(Reply::Cluster(name.clone()))
}

/// UpdateClusterSettings.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateClusterSettings.html>
pub(super) fn set_insights(
    desk: &mut Desk<'_>,
    name: &ClusterName,
    insights: Insights,
) -> Result<Reply, Rejection> {
    let cluster = super::active_cluster(desk.state, name)?;
    if cluster.insights != insights {
        let next = Cluster { insights, ..Cluster::clone(cluster) };
        desk.put(Change::PutCluster(Arc::new(next)));
    }
    Ok(Reply::Cluster(name.clone()))
}

/// DeleteCluster: refused while instances, services or tasks are in it.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteCluster.html>
pub(super) fn delete(desk: &mut Desk<'_>, name: &ClusterName) -> Result<Reply, Rejection> {
    let cluster = super::active_cluster(desk.state, name)?;
    let instances = desk.state.instances(name).count();
    if instances > 0 {
        return Err(Rejection::ClusterContainsInstances(name.clone(), instances));
    }
    let services =
        desk.state.services(name).filter(|s| s.status != ServiceStatus::Inactive).count();
    if services > 0 {
        return Err(Rejection::ClusterContainsServices(name.clone(), services));
    }
    let tasks = desk.state.tasks(name).filter(|t| Task::holds_resources(t)).count();
    if tasks > 0 {
        return Err(Rejection::ClusterContainsTasks(name.clone(), tasks));
    }
    let deleted = Cluster { status: ClusterStatus::Inactive, ..Cluster::clone(cluster) };
    desk.put(Change::PutCluster(Arc::new(deleted)));
    Ok(Reply::Cluster(name.clone()))
}
