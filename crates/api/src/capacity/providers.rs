//! Create, update, describe and delete capacity providers; which of them a cluster has.

use aws::Error;
use aws::ecs::{
    AutoScalingGroupProvider, AutoScalingGroupProviderUpdate, CapacityProvider as Wire,
    CapacityProviderField, CapacityProviderStatus, CapacityProviderStrategyItem,
    CreateCapacityProviderRequest, CreateCapacityProviderResponse, DeleteCapacityProviderRequest,
    DeleteCapacityProviderResponse, DescribeCapacityProvidersRequest,
    DescribeCapacityProvidersResponse, ManagedDraining, ManagedScaling as WireScaling,
    ManagedScalingStatus, ManagedTerminationProtection, PutClusterCapacityProvidersRequest,
    PutClusterCapacityProvidersResponse, UpdateCapacityProviderRequest,
    UpdateCapacityProviderResponse,
};
use model::{
    AutoScalingGroupName, CapacityProvider, FARGATE_PROVIDERS, ManagedScaling, ProviderName, Realm,
    State, StrategyItem,
};
use scheduler::capacity::NewProvider;
use scheduler::{CapacityCommand, CapacityRejection, Command, Rejection};

use super::strategy::{self, named};
use crate::clusters::{Shown, find};
use crate::door::Door;
use crate::errors::{self, invalid, missing};
use crate::page::{Order, Page};
use crate::refuse::PARAMETER;
use crate::{refer, tag_list, view};

/// How many capacity providers can be described at once.
const MOST_DESCRIBED: usize = 100;

pub(crate) async fn create(
    door: &Door,
    request: CreateCapacityProviderRequest,
) -> Result<CreateCapacityProviderResponse, Error> {
    let r = PARAMETER;
    let managed = request.managed_instances_provider.as_ref();
    r.given("managedInstancesProvider", managed, "Managed Instances are")?;
    let cluster = request.cluster.as_ref();
    r.text("cluster", cluster, "capacity providers of one cluster alone are")?;
    let name = request.name.as_deref().unwrap_or_default();
    let reserved = ["aws", "ecs", "fargate"].iter().any(|p| name.to_lowercase().starts_with(p));
    if !refer::is_name(name) || reserved {
        return Err(invalid(
            "name: it has up to 255 letters, digits, hyphens and underscores, and begins neither \
             with \"aws\" nor with \"ecs\" nor with \"fargate\".",
        ));
    }
    let Some(given) = &request.auto_scaling_group_provider else {
        return Err(invalid("autoScalingGroupProvider: a capacity provider needs it."));
    };
    let state = door.snapshot();
    let arn = given.auto_scaling_group_arn.as_deref().unwrap_or_default();
    let (scaling, protection, draining) = read_management(
        given.managed_scaling.as_ref(),
        given.managed_termination_protection.as_ref(),
        given.managed_draining.as_ref(),
        None,
    )?;
    let new = NewProvider {
        name: name.into(),
        group: group(&state, arn)?,
        scaling: scaling.flatten(),
        termination_protection: protection.unwrap_or(false),
        draining: draining.unwrap_or(true),
        tags: tag_list::read(request.tags.as_ref())?,
    };
    let provider = submit(door, CapacityCommand::CreateProvider(new), &name.into()).await?;
    Ok(CreateCapacityProviderResponse { capacity_provider: provider })
}

pub(crate) async fn update(
    door: &Door,
    request: UpdateCapacityProviderRequest,
) -> Result<UpdateCapacityProviderResponse, Error> {
    let managed = request.managed_instances_provider.as_ref();
    PARAMETER.given("managedInstancesProvider", managed, "Managed Instances are")?;
    let name = named(request.name.as_deref().unwrap_or_default());
    reserved(&name, "updated")?;
    let Some(given) = &request.auto_scaling_group_provider else {
        return Err(invalid("autoScalingGroupProvider: say what is to change."));
    };
    let AutoScalingGroupProviderUpdate {
        managed_draining,
        managed_scaling,
        managed_termination_protection,
        ..
    } = given;
    let state = door.snapshot();
    let before = state.capacity().provider(&name).and_then(|provider| provider.scaling);
    let (scaling, termination_protection, draining) = read_management(
        managed_scaling.as_ref(),
        managed_termination_protection.as_ref(),
        managed_draining.as_ref(),
        before,
    )?;
    let update = CapacityCommand::UpdateProvider {
        name: name.clone(),
        scaling,
        termination_protection,
        draining,
    };
    Ok(UpdateCapacityProviderResponse { capacity_provider: submit(door, update, &name).await? })
}

pub(crate) async fn delete(
    door: &Door,
    request: DeleteCapacityProviderRequest,
) -> Result<DeleteCapacityProviderResponse, Error> {
    let name = named(request.capacity_provider.as_deref().unwrap_or_default());
    reserved(&name, "deleted")?;
    let before = door.snapshot();
    door.submit(Command::Capacity(CapacityCommand::DeleteProvider(name.clone()))).await?;
    let shown = before.capacity().provider(&name).map(|provider| Wire {
        status: Some(CapacityProviderStatus::Inactive),
        ..provider_view(before.realm(), &before, provider, true)
    });
    Ok(DeleteCapacityProviderResponse { capacity_provider: shown })
}

async fn submit(
    door: &Door,
    command: CapacityCommand,
    name: &ProviderName,
) -> Result<Option<Wire>, Error> {
    let state = door.submit(Command::Capacity(command)).await?.state;
    let provider = state.capacity().provider(name);
    Ok(provider.map(|provider| provider_view(state.realm(), &state, provider, true)))
}

pub(crate) fn describe(
    state: &State,
    request: &DescribeCapacityProvidersRequest,
) -> Result<DescribeCapacityProvidersResponse, Error> {
    let include = request.include.as_deref().unwrap_or_default();
    let tags = include.contains(&CapacityProviderField::Tags);
    let realm = state.realm();
    let book = state.capacity();
    let theirs = match request.cluster.as_deref() {
        None => None,
        Some(given) => {
            let name = refer::cluster(state, Some(given))?;
            state.cluster(&name).map(|cluster| cluster.capacity_providers.clone())
        }
    };
    let asked = |name: &ProviderName| theirs.as_ref().is_none_or(|some| some.contains(name));
    let given = request.capacity_providers.as_deref().unwrap_or_default();
    if given.len() > MOST_DESCRIBED {
        return Err(invalid(format!(
            "capacityProviders: at most {MOST_DESCRIBED} can be described at once."
        )));
    }
    if !given.is_empty() {
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for given in given {
            let name = named(given);
            match book.provider(&name) {
                _ if !asked(&name) => failures.push(missing(arn(realm, given))),
                _ if name.is_fargate() => found.push(fargate_view(realm, name.as_str())),
                Some(provider) => found.push(provider_view(realm, state, provider, tags)),
                None => failures.push(missing(arn(realm, given))),
            }
        }
        return Ok(DescribeCapacityProvidersResponse {
            capacity_providers: Some(found),
            failures: Some(failures),
            next_token: None,
        });
    }
    let token = request.next_token.as_deref();
    let question =
        DescribeCapacityProvidersRequest { next_token: None, max_results: None, ..request.clone() };
    let page = Page::of_100("DescribeCapacityProviders", token, request.max_results);
    let page = Page { usual: 10, most: 10, ..page.of(&question)? };
    let ours = FARGATE_PROVIDERS.into_iter().filter(|name| asked(&ProviderName::from(*name)));
    let all = book
        .providers()
        .filter(|provider| asked(&provider.name))
        .map(|provider| (provider.name.to_string(), provider_view(realm, state, provider, tags)))
        .chain(ours.map(|name| (name.to_owned(), fargate_view(realm, name))))
        .collect();
    let (providers, next_token) = page.cut(all, Order::Ascending)?;
    Ok(DescribeCapacityProvidersResponse {
        capacity_providers: Some(providers),
        failures: Some(Vec::new()),
        next_token,
    })
}

pub(crate) async fn put_cluster(
    door: &Door,
    request: PutClusterCapacityProvidersRequest,
) -> Result<PutClusterCapacityProvidersResponse, Error> {
    let cluster = refer::cluster(&door.snapshot(), request.cluster.as_deref())?;
    let providers = request.capacity_providers.as_deref().unwrap_or_default();
    let command = CapacityCommand::PutClusterProviders {
        cluster: cluster.clone(),
        providers: providers.iter().map(|given| named(given)).collect(),
        strategy: strategy::read(request.default_capacity_provider_strategy.as_ref())?,
    };
    let state = door.submit(Command::Capacity(command)).await?.state;
    let shown = Shown::CHANGED;
    Ok(PutClusterCapacityProvidersResponse { cluster: find(&state, &cluster, shown) })
}

/// A cluster's capacity providers, and its default strategy.
pub(crate) type OfCluster = (Vec<ProviderName>, Vec<StrategyItem>);

/// What a cluster is to have from its beginning, if it is to have anything.
pub(crate) fn of_cluster(
    state: &State,
    providers: Option<&[String]>,
    strategy: Option<&Vec<CapacityProviderStrategyItem>>,
) -> Result<Option<OfCluster>, Error> {
    let providers = providers.unwrap_or_default();
    let providers: Vec<_> = providers.iter().map(|given| named(given)).collect();
    let strategy = strategy::read(strategy)?;
    if providers.is_empty() && strategy.is_empty() {
        return Ok(None);
    }
    let refused = |refusal| errors::rejection(state.realm(), &Rejection::Capacity(refusal));
    for name in &providers {
        if !name.is_fargate() && state.capacity().provider(name).is_none() {
            return Err(refused(CapacityRejection::NoProvider(name.clone())));
        }
    }
    scheduler::capacity::check_strategy(&strategy, &providers).map_err(refused)?;
    Ok(Some((providers, strategy)))
}

/// The group that an ARN names. Some tools give the name alone, which AWS takes too.
fn group(state: &State, arn: &str) -> Result<AutoScalingGroupName, Error> {
    let name = arn.rsplit_once(":autoScalingGroupName/").map_or(arn, |(_, name)| name);
    let name = AutoScalingGroupName::from(name);
    match state.capacity().group(&name) {
        Some(group) => Ok(group.name.clone()),
        None => Err(invalid(format!(
            "The specified Auto Scaling group ARN is invalid: there is no group {name}. Create it \
             with `aws autoscaling create-auto-scaling-group` first."
        ))),
    }
}

/// Managed scaling (`Some(None)`: off), termination protection and draining, where they are given.
type Management = (Option<Option<ManagedScaling>>, Option<bool>, Option<bool>);

fn read_management(
    scaling: Option<&WireScaling>,
    protection: Option<&ManagedTerminationProtection>,
    draining: Option<&ManagedDraining>,
    before: Option<ManagedScaling>,
) -> Result<Management, Error> {
    let scaling = scaling.map(|given| read_scaling(given, before)).transpose()?;
    let protection = match protection {
        None => None,
        Some(ManagedTerminationProtection::Enabled) => Some(true),
        Some(ManagedTerminationProtection::Disabled) => Some(false),
        Some(other) => return Err(neither("managedTerminationProtection", &other.to_string())),
    };
    let draining = match draining {
        None => None,
        Some(ManagedDraining::Enabled) => Some(true),
        Some(ManagedDraining::Disabled) => Some(false),
        Some(other) => return Err(neither("managedDraining", &other.to_string())),
    };
    Ok((scaling, protection, draining))
}

fn neither(member: &str, given: &str) -> Error {
    invalid(format!("{member}: \"{given}\" is neither ENABLED nor DISABLED."))
}

fn read_scaling(
    given: &WireScaling,
    before: Option<ManagedScaling>,
) -> Result<Option<ManagedScaling>, Error> {
    match &given.status {
        None | Some(ManagedScalingStatus::Enabled) => {}
        Some(ManagedScalingStatus::Disabled) => return Ok(None),
        Some(other) => return Err(neither("managedScaling.status", &other.to_string())),
    }
    let base = before.unwrap_or_default();
    let read = |member: &str, given: Option<i32>, least: u32, most: u32, absent: u32| {
        let Some(given) = given else { return Ok(absent) };
        let read = u32::try_from(given).ok().filter(|n| (least..=most).contains(n));
        read.ok_or_else(|| {
            invalid(format!("managedScaling.{member}: it must be between {least} and {most}."))
        })
    };
    let warmup = u32::try_from(base.warmup.as_secs()).unwrap_or(300);
    let scaling = ManagedScaling {
        target_capacity: read(
            "targetCapacity",
            given.target_capacity,
            1,
            100,
            base.target_capacity,
        )?,
        minimum_step: read(
            "minimumScalingStepSize",
            given.minimum_scaling_step_size,
            1,
            10_000,
            base.minimum_step,
        )?,
        maximum_step: read(
            "maximumScalingStepSize",
            given.maximum_scaling_step_size,
            1,
            10_000,
            base.maximum_step,
        )?,
        warmup: std::time::Duration::from_secs(u64::from(read(
            "instanceWarmupPeriod",
            given.instance_warmup_period,
            0,
            10_000,
            warmup,
        )?)),
    };
    if scaling.minimum_step > scaling.maximum_step {
        return Err(invalid(
            "managedScaling: minimumScalingStepSize is above maximumScalingStepSize.",
        ));
    }
    Ok(Some(scaling))
}

fn arn(realm: &Realm, given: &str) -> String {
    let Realm { partition, region, account, .. } = realm;
    if given.starts_with("arn:") {
        return given.to_owned();
    }
    format!("arn:{partition}:ecs:{region}:{account}:capacity-provider/{given}")
}

/// What is there in every account is neither changed nor deleted.
fn reserved(name: &ProviderName, what: &str) -> Result<(), Error> {
    match name.is_fargate() {
        true => Err(invalid(format!(
            "The capacity provider {name} is reserved and cannot be {what}. Clusters have it, or \
             have it no more, by PutClusterCapacityProviders."
        ))),
        false => Ok(()),
    }
}

/// One of Fargate's as it is described.
fn fargate_view(realm: &Realm, name: &str) -> Wire {
    Wire {
        capacity_provider_arn: Some(arn(realm, name)),
        name: Some(name.to_owned()),
        status: Some(CapacityProviderStatus::Active),
        tags: Some(Vec::new()),
        ..Wire::default()
    }
}

fn provider_view(realm: &Realm, state: &State, provider: &CapacityProvider, tags: bool) -> Wire {
    let group = state.capacity().group(&provider.group);
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let managed = provider.scaling.unwrap_or_default();
    let scaling = WireScaling {
        status: Some(match provider.scaling {
            Some(_) => ManagedScalingStatus::Enabled,
            None => ManagedScalingStatus::Disabled,
        }),
        target_capacity: Some(number(managed.target_capacity)),
        minimum_scaling_step_size: Some(number(managed.minimum_step)),
        maximum_scaling_step_size: Some(number(managed.maximum_step)),
        instance_warmup_period: i32::try_from(managed.warmup.as_secs()).ok(),
    };
    let protection = match provider.termination_protection {
        true => ManagedTerminationProtection::Enabled,
        false => ManagedTerminationProtection::Disabled,
    };
    let draining = match provider.draining {
        true => ManagedDraining::Enabled,
        false => ManagedDraining::Disabled,
    };
    Wire {
        capacity_provider_arn: Some(arn(realm, provider.name.as_str())),
        name: Some(provider.name.to_string()),
        status: Some(CapacityProviderStatus::Active),
        auto_scaling_group_provider: Some(AutoScalingGroupProvider {
            auto_scaling_group_arn: group.map(|group| group_arn(realm, &group.id, &group.name)),
            managed_scaling: Some(scaling),
            managed_termination_protection: Some(protection),
            managed_draining: Some(draining),
        }),
        tags: Some(if tags { view::tags(&provider.tags) } else { Vec::new() }),
        ..Wire::default()
    }
}

/// The ARN of an Auto Scaling group.
pub(crate) fn group_arn(realm: &Realm, id: &str, name: &AutoScalingGroupName) -> String {
    let Realm { partition, region, account, .. } = realm;
    format!(
        "arn:{partition}:autoscaling:{region}:{account}:autoScalingGroup:{id}:autoScalingGroupName/{name}"
    )
}
