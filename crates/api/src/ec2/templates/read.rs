//! Launch templates and their versions as they are described.

use aws::Error;
use aws::ec2::*;
use model::{LaunchTemplateId, State, Tags, TemplateVersion, VersionChoice};

use super::{error, find, known, refuse, version};
use crate::autoscaling::user_data;
use crate::ec2::filter::{dry, invalid, like};
use crate::page::{Order, Page};

pub(in crate::ec2) fn describe(
    state: &State,
    request: &DescribeLaunchTemplatesRequest,
) -> Result<DescribeLaunchTemplatesResult, Error> {
    dry(request.dry_run)?;
    let ids = request.launch_template_ids.as_deref().unwrap_or_default();
    let names = request.launch_template_names.as_deref().unwrap_or_default();
    let mut wanted = Vec::new();
    for id in ids {
        wanted.push(find(state, Some(id), None)?);
    }
    for name in names {
        wanted.push(find(state, None, Some(name))?);
    }
    let filters = request.filters.as_deref().unwrap_or_default();
    let book = state.capacity();
    let mut all = Vec::new();
    for template in book.templates() {
        let mut kept = wanted.is_empty() || wanted.contains(&template.id);
        for filter in filters {
            let created = template.created_at.to_string();
            let facts = [("create-time", created), ("launch-template-name", template.name.clone())];
            kept &= passes(filter, &facts, Some(&template.tags))?;
        }
        if kept && let Some(shown) = shown(state, &template.id) {
            all.push((template.id.to_string(), shown));
        }
    }
    let token = request.next_token.as_deref();
    let (launch_templates, next_token) =
        cut("DescribeLaunchTemplates", token, request.max_results, all)?;
    Ok(DescribeLaunchTemplatesResult { launch_templates: Some(launch_templates), next_token })
}

fn cut<T>(
    operation: &'static str,
    token: Option<&str>,
    max_results: Option<i32>,
    entries: Vec<(String, T)>,
) -> Result<(Vec<T>, Option<String>), Error> {
    let page = Page { operation, token, max_results, usual: 200, most: 200, query: 0 };
    page.cut(entries, Order::Ascending).map_err(|error| invalid(error.message))
}

/// Whether any fact of the filter's name is like any of its values.
fn passes(filter: &Filter, facts: &[(&str, String)], tags: Option<&Tags>) -> Result<bool, Error> {
    let name = filter.name.as_deref().unwrap_or_default();
    let values = filter.values.as_deref().unwrap_or_default();
    let any = |text: &str| values.iter().any(|v| like(v.as_bytes(), text.as_bytes()));
    if let Some(tags) = tags {
        if name == "tag-key" {
            return Ok(tags.0.keys().any(|key| any(key)));
        }
        if let Some(key) = name.strip_prefix("tag:") {
            return Ok(tags.0.get(key).is_some_and(|value| any(value)));
        }
    }
    match facts.iter().find(|(fact, _)| *fact == name) {
        Some((_, value)) => Ok(any(value)),
        None => Err(invalid(format!("The filter '{name}' is invalid"))),
    }
}

pub(in crate::ec2) fn describe_versions(
    state: &State,
    request: &DescribeLaunchTemplateVersionsRequest,
) -> Result<DescribeLaunchTemplateVersionsResult, Error> {
    dry(request.dry_run)?;
    refuse(&[("ResolveAlias", request.resolve_alias == Some(true))])?;
    let book = state.capacity();
    let choices = request.versions.as_deref().unwrap_or_default();
    let choices = choices.iter().map(|v| version(v)).collect::<Result<Vec<_>, _>>()?;
    let (id, name) = (request.launch_template_id.as_ref(), request.launch_template_name.as_ref());
    let moving = |choice: &VersionChoice| !matches!(choice, VersionChoice::Number(_));
    let templates = if id.is_none() && name.is_none() {
        // Without a template: of all of them, if no number is asked for.
        if choices.is_empty() || !choices.iter().all(moving) {
            return Err(error(
                "MissingParameter",
                "Either LaunchTemplateId or LaunchTemplateName is required, unless Versions has \
                 $Latest or $Default only.",
            ));
        }
        book.templates().map(|template| template.id.clone()).collect()
    } else {
        vec![find(state, id, name)?]
    };
    let bound = |given: Option<&String>| {
        given
            .map(|text| text.parse::<u64>())
            .transpose()
            .map_err(|_| invalid("MinVersion and MaxVersion are numbers of versions."))
    };
    let (least, most) =
        (bound(request.min_version.as_ref())?, bound(request.max_version.as_ref())?);
    let mut all = Vec::new();
    for template in &templates {
        let mut numbers = Vec::new();
        for choice in &choices {
            numbers.push(known(state, template, *choice)?.number);
        }
        for version in book.versions(template) {
            let number = version.number;
            let mut kept = (choices.is_empty() || numbers.contains(&number))
                && least.is_none_or(|least| number >= least)
                && most.is_none_or(|most| number <= most);
            for filter in request.filters.as_deref().unwrap_or_default() {
                kept &= passes(filter, &version_facts(state, version), None)?;
            }
            if kept && let Some(shown) = version_shown(state, version) {
                // The newest first, as AWS lists them.
                all.push((format!("{template}/{:020}", u64::MAX - number), shown));
            }
        }
    }
    let token = request.next_token.as_deref();
    let (versions, next_token) =
        cut("DescribeLaunchTemplateVersions", token, request.max_results, all)?;
    Ok(DescribeLaunchTemplateVersionsResult {
        launch_template_versions: Some(versions),
        next_token,
    })
}

fn version_facts(state: &State, version: &TemplateVersion) -> Vec<(&'static str, String)> {
    let template = state.capacity().template(&version.template);
    let default = template.is_some_and(|template| template.default == version.number);
    vec![
        ("create-time", version.created_at.to_string()),
        ("image-id", version.data.image.clone().unwrap_or_default()),
        ("instance-type", version.data.instance_type.clone().unwrap_or_default()),
        ("is-default-version", default.to_string()),
    ]
}

fn wire_tags(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| Tag {
        key: Some(key.clone()),
        value: Some(value.clone()),
    };
    tags.0.iter().map(tag).collect()
}

pub(super) fn shown(state: &State, id: &LaunchTemplateId) -> Option<LaunchTemplate> {
    let template = state.capacity().template(id)?;
    let newest = state.capacity().version(id, VersionChoice::Latest)?;
    Some(LaunchTemplate {
        launch_template_id: Some(template.id.to_string()),
        launch_template_name: Some(template.name.clone()),
        create_time: Some(template.created_at),
        created_by: Some(template.created_by.clone()),
        default_version_number: i64::try_from(template.default).ok(),
        latest_version_number: i64::try_from(newest.number).ok(),
        tags: Some(wire_tags(&template.tags)),
        operator: None,
    })
}

pub(super) fn version_shown(
    state: &State,
    version: &TemplateVersion,
) -> Option<LaunchTemplateVersion> {
    let template = state.capacity().template(&version.template)?;
    let data = &version.data;
    let tagged = (!data.tags.is_empty()).then(|| {
        vec![LaunchTemplateTagSpecification {
            resource_type: Some(ResourceType::Instance),
            tags: Some(wire_tags(&data.tags)),
        }]
    });
    Some(LaunchTemplateVersion {
        launch_template_id: Some(template.id.to_string()),
        launch_template_name: Some(template.name.clone()),
        version_number: i64::try_from(version.number).ok(),
        version_description: version.description.clone(),
        create_time: Some(version.created_at),
        created_by: Some(version.created_by.clone()),
        default_version: Some(template.default == version.number),
        launch_template_data: Some(ResponseLaunchTemplateData {
            image_id: data.image.clone(),
            instance_type: data.instance_type.as_deref().map(InstanceType::from),
            user_data: data.user_data.as_deref().map(user_data::write),
            tag_specifications: tagged,
            ..Default::default()
        }),
        operator: None,
    })
}
