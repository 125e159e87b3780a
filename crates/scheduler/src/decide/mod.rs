//! Decisions: what a command does to a state, or why it is refused. One file for each family.

mod attributes;
mod balancing;
mod bus;
pub(crate) mod capacity;
mod clusters;
mod definitions;
mod deployments;
mod instances;
mod interfaces;
mod methods;
pub(crate) mod planned;
mod policies;
mod protection;
mod reports;
mod roles;
mod run_task;
mod scaling;
mod service_rules;
mod services;
mod tags;
pub(crate) mod targets;
mod task_sets;
mod tokens;
pub(crate) mod waiting;

pub(crate) use service_rules::MOST_TASKS;

use std::sync::Arc;

use model::{
    Change, Cluster, ClusterName, ClusterStatus, DefinitionKey, DefinitionStatus, State,
    TaskDefinition, TaskKey, TaskProgress,
};
use stdx::{Entropy, Timestamp};

use crate::desk::Desk;
use crate::{Command, Outcome, Rejection, Reply};

/// What `command` does to `state` at the instant `now`, with identities drawn from `ids`. It is pure:
/// equal arguments give equal answers. Nothing is changed by a refusal.
pub fn decide(
    state: &State,
    command: &Command,
    now: Timestamp,
    ids: &mut dyn Entropy,
) -> Result<Outcome, Rejection> {
    let mut desk = Desk::new(state, now, ids);
    let reply = answer(&mut desk, command)?;
    Ok(Outcome { changes: desk.finish(), reply })
}

#[expect(clippy::too_many_lines, reason = "a line or two for each command")]
fn answer(desk: &mut Desk<'_>, command: &Command) -> Result<Reply, Rejection> {
    match command {
        Command::CreateCluster { name, tags } => clusters::create(desk, name, tags),
        Command::ConfigureCluster { name, exec_logging } => {
            clusters::configure(desk, name, exec_logging)
        }
        Command::SetInsights { name, insights } => clusters::set_insights(desk, name, *insights),
        Command::DeleteCluster(name) => clusters::delete(desk, name),
        Command::RegisterDefinition { family, document, spec, tags, by } => {
            let registered = definitions::Registered { document, spec, tags, by };
            definitions::register(desk, family, registered)
        }
        Command::DeregisterDefinition(key) => definitions::deregister(desk, key),
        Command::DeleteDefinition(key) => definitions::delete(desk, key),
        Command::RunTask(run) => run_task::run(desk, run),
        Command::StartTask { instances, run } => run_task::start(desk, instances, run),
        Command::StopTask { key, reason } => run_task::stop(desk, key, reason.as_deref()),
        Command::ProtectTask { key, period } => protection::protect(desk, key, *period),
        Command::CreateService(create) => services::create(desk, create),
        Command::UpdateService(update) => services::update(desk, update),
        Command::DeleteService { key, force } => services::delete(desk, key, *force),
        Command::CreateTaskSet(create) => task_sets::create(desk, create),
        Command::ScaleTaskSet { service, set, scale } => {
            task_sets::scale(desk, service, set, *scale)
        }
        Command::SetPrimaryTaskSet { service, set } => task_sets::set_primary(desk, service, set),
        Command::DeleteTaskSet { service, set, force } => {
            task_sets::delete(desk, service, set, *force)
        }
        Command::SetInstanceStatus { key, status } => instances::set_status(desk, key, *status),
        Command::PutAttributes { cluster, attributes: given } => {
            attributes::put(desk, cluster, given)
        }
        Command::DeleteAttributes { cluster, attributes: given } => {
            attributes::delete(desk, cluster, given)
        }
        Command::DeregisterInstance { key, force } => instances::deregister(desk, key, *force),
        Command::Tag { resource, tags } => tags::tag(desk, resource, tags),
        Command::Untag { resource, keys } => tags::untag(desk, resource, keys),
        Command::RegisterInstance(register) => instances::register(desk, register),
        Command::AgentSession { key, agent } => instances::session(desk, key, agent),
        Command::ReportTargets(reports) => targets::report(desk, reports),
        Command::ReportTask(report) => reports::task(desk, report),
        Command::ReportExecAgents { key, agents } => reports::exec_agents(desk, key, agents),
        Command::ReportHealth { key, health } => reports::health(desk, key, health),
        Command::LaunchServiceTasks { service, deployment, count } => {
            planned::launch(desk, service, deployment, *count)
        }
        Command::StopServiceTasks { service, tasks } => planned::stop(desk, service, tasks),
        Command::StepService { service } => planned::step(desk, service),
        Command::EndDraining { targets, tasks } => targets::end(desk, targets, tasks),
        Command::LoseTask { key, reason } => planned::lose(desk, key, reason),
        Command::Forget(what) => planned::forget(desk, what),
        Command::DisconnectAll => instances::disconnect_all(desk),
        Command::Iam(command) => roles::decide(desk, command),
        Command::PlaceWaiting(key) => waiting::place(desk, key),
        Command::Capacity(command) => capacity::decide(desk, command),
        Command::Deployment(command) => deployments::decide(desk, command),
        Command::Scaling(command) => scaling::decide(desk, command),
        Command::Bus(command) => bus::decide(desk, command),
        Command::PutSetting(record) => {
            let change = model::SettingChange::Put(std::sync::Arc::new(record.clone()));
            desk.put(model::Change::Setting(change));
            Ok(Reply::Done)
        }
        Command::DeleteSetting(principal, setting) => {
            let change = model::SettingChange::Delete(principal.clone(), *setting);
            desk.put(model::Change::Setting(change));
            Ok(Reply::Done)
        }
        Command::Balancing(command) => balancing::decide(desk, command),
    }
}

/// The cluster, if it may be used.
fn active_cluster<'a>(state: &'a State, name: &ClusterName) -> Result<&'a Arc<Cluster>, Rejection> {
    state
        .cluster(name)
        .filter(|c| c.status == ClusterStatus::Active)
        .ok_or_else(|| Rejection::ClusterNotFound(name.clone()))
}

/// The definition, if it may start something new.
fn active_definition<'a>(
    state: &'a State,
    key: &DefinitionKey,
) -> Result<&'a Arc<TaskDefinition>, Rejection> {
    let definition =
        state.definition(key).ok_or_else(|| Rejection::DefinitionNotFound(key.clone()))?;
    match definition.status {
        DefinitionStatus::Active => Ok(definition),
        DefinitionStatus::Inactive | DefinitionStatus::DeleteInProgress => {
            Err(Rejection::DefinitionInactive(key.clone()))
        }
    }
}

/// A task's next step, one version on.
fn progress(key: &TaskKey, mut next: TaskProgress) -> Change {
    next.version += 1;
    Change::PutProgress(key.clone(), Arc::new(next))
}
