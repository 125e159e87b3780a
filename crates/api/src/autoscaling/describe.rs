//! Groups, nodes, activities and tags as they are described.

use aws::Error;
use aws::autoscaling::{
    ActivitiesType, AutoScalingGroupNamesType, AutoScalingGroupsType, AutoScalingInstancesType,
    DescribeAccountLimitsAnswer, DescribeAutoScalingInstancesType, DescribeScalingActivitiesType,
    DescribeTagsType, Filter, TagsType,
};
use model::{AutoScalingGroup, State};

use super::errors::{cut, invalid, not_built};
use super::view;
use crate::page::{Order, Page};

/// AWS's quotas.
const MOST_GROUPS: i32 = 500;
const MOST_LAUNCHES: i32 = 200;

fn no_filters(filters: Option<&Vec<Filter>>) -> Result<(), Error> {
    not_built(&[("Filters", filters.is_some_and(|filters| !filters.is_empty()))])
}

pub(super) fn groups(
    state: &State,
    request: &AutoScalingGroupNamesType,
) -> Result<AutoScalingGroupsType, Error> {
    let token = request.next_token.as_deref();
    let page = Page::of_100("DescribeAutoScalingGroups", token, request.max_records);
    let wanted = request.auto_scaling_group_names.as_deref().unwrap_or_default();
    let filters = request.filters.as_deref().unwrap_or_default();
    let nodes = request.include_instances.unwrap_or(true);
    if let Some(odd) = filters.iter().filter_map(|f| f.name.as_deref()).find(|n| !is_tag(n)) {
        return Err(invalid(format!(
            "Filters: there is no filter \"{odd}\"; there are tag-key, tag-value and tag:KEY."
        )));
    }
    let all = state
        .capacity()
        .groups()
        .filter(|g| wanted.is_empty() || wanted.iter().any(|name| *name == g.name.as_str()))
        .filter(|group| filters.iter().all(|filter| passes(group, filter)))
        .map(|group| (group.name.to_string(), view::group(state, group, nodes)))
        .collect();
    let (groups, next_token) = cut(&page, all, Order::Ascending)?;
    Ok(AutoScalingGroupsType { auto_scaling_groups: Some(groups), next_token })
}

fn is_tag(name: &str) -> bool {
    name == "tag-key" || name == "tag-value" || name.starts_with("tag:")
}

fn passes(group: &AutoScalingGroup, filter: &Filter) -> bool {
    let values = filter.values.as_deref().unwrap_or_default();
    let name = filter.name.as_deref().unwrap_or_default();
    group.tags.iter().any(|tag| match name.strip_prefix("tag:") {
        Some(key) => tag.key == key && values.contains(&tag.value),
        None if name == "tag-key" => values.contains(&tag.key),
        None => values.contains(&tag.value),
    })
}

pub(super) fn instances(
    state: &State,
    request: &DescribeAutoScalingInstancesType,
) -> Result<AutoScalingInstancesType, Error> {
    let token = request.next_token.as_deref();
    let page = Page::of_100("DescribeAutoScalingInstances", token, request.max_records);
    let wanted = request.instance_ids.as_deref().unwrap_or_default();
    let all = state
        .capacity()
        .all_nodes()
        .filter(|n| wanted.is_empty() || wanted.iter().any(|id| *id == n.id.as_str()))
        .map(|node| (node.id.to_string(), view::instance_details(state, node)))
        .collect();
    let (instances, next_token) = cut(&page, all, Order::Ascending)?;
    Ok(AutoScalingInstancesType { auto_scaling_instances: Some(instances), next_token })
}

/// Newest first.
pub(super) fn activities(
    state: &State,
    request: &DescribeScalingActivitiesType,
) -> Result<ActivitiesType, Error> {
    no_filters(request.filters.as_ref())?;
    let token = request.next_token.as_deref();
    let page = Page::of_100("DescribeScalingActivities", token, request.max_records);
    let book = state.capacity();
    let wanted = request.auto_scaling_group_name.as_deref();
    if let Some(name) = wanted
        && book.group(&name.into()).is_none()
    {
        return Err(invalid(format!(
            "AutoScalingGroup name not found - AutoScalingGroup {name} not found"
        )));
    }
    let ids = request.activity_ids.as_deref().unwrap_or_default();
    let mut all = Vec::new();
    for group in book.groups().filter(|g| wanted.is_none_or(|name| g.name.as_str() == name)) {
        for activity in book.activities(&group.name) {
            if ids.is_empty() || ids.contains(&activity.id) {
                let key = format!("{}/{}", activity.began_at, activity.id);
                all.push((key, view::activity(state.realm(), group, activity)));
            }
        }
    }
    let (activities, next_token) = cut(&page, all, Order::Descending)?;
    Ok(ActivitiesType { activities: Some(activities), next_token })
}

pub(super) fn tags(state: &State, request: &DescribeTagsType) -> Result<TagsType, Error> {
    let token = request.next_token.as_deref();
    let page = Page::of_100("DescribeTags", token, request.max_records);
    let filters = request.filters.as_deref().unwrap_or_default();
    let known = ["auto-scaling-group", "key", "value", "propagate-at-launch"];
    let mut names = filters.iter().map(|filter| filter.name.as_deref().unwrap_or_default());
    if let Some(odd) = names.find(|name| !known.contains(name)) {
        return Err(invalid(format!(
            "Filters: there is no filter \"{odd}\"; there are {}.",
            known.join(", ")
        )));
    }
    let mut all = Vec::new();
    for group in state.capacity().groups() {
        for tag in view::tags(group) {
            if filters.iter().all(|filter| tag_passes(&tag, filter)) {
                let key = format!("{}/{}", group.name, tag.key.as_deref().unwrap_or_default());
                all.push((key, tag));
            }
        }
    }
    let (tags, next_token) = cut(&page, all, Order::Ascending)?;
    Ok(TagsType { tags: Some(tags), next_token })
}

fn tag_passes(tag: &aws::autoscaling::TagDescription, filter: &Filter) -> bool {
    let values = filter.values.as_deref().unwrap_or_default();
    let has = |text: Option<&String>| text.is_some_and(|text| values.contains(text));
    match filter.name.as_deref() {
        Some("auto-scaling-group") => has(tag.resource_id.as_ref()),
        Some("key") => has(tag.key.as_ref()),
        Some("value") => has(tag.value.as_ref()),
        Some("propagate-at-launch") => {
            values.iter().any(|v| Some(v == "true") == tag.propagate_at_launch)
        }
        _ => false,
    }
}

pub(super) fn limits(state: &State) -> DescribeAccountLimitsAnswer {
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    DescribeAccountLimitsAnswer {
        max_number_of_auto_scaling_groups: Some(MOST_GROUPS),
        max_number_of_launch_configurations: Some(MOST_LAUNCHES),
        number_of_auto_scaling_groups: Some(count(state.capacity().groups().count())),
        number_of_launch_configurations: Some(count(state.capacity().launches().count())),
    }
}
