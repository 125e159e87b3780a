//! Launch templates and their versions.
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplate.html>

use std::sync::Arc;

use model::{
    CapacityChange, Change, LaunchSource, LaunchTemplate, LaunchTemplateId, Tags, TemplateData,
    TemplateVersion, VersionChoice,
};

use crate::capacity::{CapacityRejection, NewTemplate, NewVersion};
use crate::desk::Desk;
use crate::{Rejection, Reply};

/// AWS's quotas.
const MOST_TEMPLATES: usize = 5_000;
const MOST_VERSIONS: usize = 10_000;

fn put(desk: &mut Desk<'_>, change: CapacityChange) {
    desk.put(Change::Capacity(change));
}

pub(super) fn create(desk: &mut Desk<'_>, new: &NewTemplate) -> Result<Reply, Rejection> {
    let book = desk.state.capacity();
    if let Some(there) = book.templates().find(|template| template.name == new.name) {
        if new.token.is_some() && there.token == new.token {
            return Ok(Reply::TemplateVersion(there.id.clone(), 1));
        }
        return Err(CapacityRejection::TemplateExists(new.name.clone()).into());
    }
    if book.templates().count() >= MOST_TEMPLATES {
        let why = format!("There can be at most {MOST_TEMPLATES} launch templates.");
        return Err(CapacityRejection::Limit(why).into());
    }
    let id = LaunchTemplateId::from(format!("lt-{}", &desk.ids.hex32()[..17]));
    let template = LaunchTemplate {
        id: id.clone(),
        name: new.name.clone(),
        default: 1,
        latest: 1,
        tags: new.tags.clone(),
        created_by: new.by.clone(),
        token: new.token.clone(),
        created_at: desk.now,
    };
    let version = TemplateVersion {
        template: id.clone(),
        number: 1,
        description: new.description.clone(),
        data: new.data.clone(),
        created_by: new.by.clone(),
        token: None,
        created_at: desk.now,
    };
    put(desk, CapacityChange::PutTemplate(Arc::new(template)));
    put(desk, CapacityChange::PutVersion(Arc::new(version)));
    Ok(Reply::TemplateVersion(id, 1))
}

pub(super) fn create_version(desk: &mut Desk<'_>, new: &NewVersion) -> Result<Reply, Rejection> {
    let template = find(desk, &new.template)?;
    let book = desk.state.capacity();
    let same = |version: &&Arc<TemplateVersion>| new.token.is_some() && version.token == new.token;
    if let Some(there) = book.versions(&new.template).find(same) {
        return Ok(Reply::TemplateVersion(new.template.clone(), there.number));
    }
    if book.versions(&new.template).count() >= MOST_VERSIONS {
        let why = format!("A launch template can have at most {MOST_VERSIONS} versions.");
        return Err(CapacityRejection::Limit(why).into());
    }
    let data = match new.source {
        None => new.data.clone(),
        Some(source) => over(known(desk, &new.template, source)?.data.clone(), &new.data),
    };
    let number = template.latest + 1;
    let version = TemplateVersion {
        template: new.template.clone(),
        number,
        description: new.description.clone(),
        data,
        created_by: new.by.clone(),
        token: new.token.clone(),
        created_at: desk.now,
    };
    let next = LaunchTemplate { latest: number, ..LaunchTemplate::clone(&template) };
    put(desk, CapacityChange::PutTemplate(Arc::new(next)));
    put(desk, CapacityChange::PutVersion(Arc::new(version)));
    Ok(Reply::TemplateVersion(new.template.clone(), number))
}

/// What is said wins over what is taken over.
fn over(source: TemplateData, said: &TemplateData) -> TemplateData {
    let TemplateData { image, instance_type, user_data, cluster, tags } = said.clone();
    TemplateData {
        image: image.or(source.image),
        instance_type: instance_type.or(source.instance_type),
        // The cluster stands in the user data.
        cluster: if user_data.is_some() { cluster } else { source.cluster },
        user_data: user_data.or(source.user_data),
        tags: if tags == Tags::default() { source.tags } else { tags },
    }
}

pub(super) fn set_default(
    desk: &mut Desk<'_>,
    id: &LaunchTemplateId,
    number: u64,
) -> Result<Reply, Rejection> {
    let template = find(desk, id)?;
    known(desk, id, number)?;
    let next = LaunchTemplate { default: number, ..LaunchTemplate::clone(&template) };
    put(desk, CapacityChange::PutTemplate(Arc::new(next)));
    Ok(Reply::Done)
}

/// Groups that use it start no further nodes until they have another, as on AWS.
pub(super) fn delete(desk: &mut Desk<'_>, id: &LaunchTemplateId) -> Result<Reply, Rejection> {
    find(desk, id)?;
    let numbers: Vec<u64> = desk.state.capacity().versions(id).map(|v| v.number).collect();
    for number in numbers {
        put(desk, CapacityChange::DeleteVersion(id.clone(), number));
    }
    put(desk, CapacityChange::DeleteTemplate(id.clone()));
    Ok(Reply::Done)
}

pub(super) fn delete_versions(
    desk: &mut Desk<'_>,
    id: &LaunchTemplateId,
    numbers: &[u64],
) -> Result<Reply, Rejection> {
    let template = find(desk, id)?;
    let there = |number: &&u64| known(desk, id, **number).is_ok() && **number != template.default;
    let going: Vec<u64> = numbers.iter().filter(there).copied().collect();
    for number in going {
        put(desk, CapacityChange::DeleteVersion(id.clone(), number));
    }
    Ok(Reply::Done)
}

fn find(desk: &Desk<'_>, id: &LaunchTemplateId) -> Result<Arc<LaunchTemplate>, CapacityRejection> {
    let found = desk.state.capacity().template(id).cloned();
    found.ok_or_else(|| CapacityRejection::NoTemplate(id.clone()))
}

fn known(
    desk: &Desk<'_>,
    id: &LaunchTemplateId,
    number: u64,
) -> Result<Arc<TemplateVersion>, CapacityRejection> {
    let found = desk.state.capacity().version(id, VersionChoice::Number(number)).cloned();
    found.ok_or_else(|| CapacityRejection::NoVersion(id.clone(), number.to_string()))
}

/// Whether nodes can be started by this.
pub(super) fn check_source(
    desk: &Desk<'_>,
    source: &LaunchSource,
) -> Result<(), CapacityRejection> {
    let book = desk.state.capacity();
    match source {
        LaunchSource::Configuration(name) => match book.launch(name) {
            Some(_) => Ok(()),
            None => Err(CapacityRejection::NoLaunch(name.clone())),
        },
        LaunchSource::Template { template, version } => {
            find(desk, template)?;
            let gone = || CapacityRejection::NoVersion(template.clone(), version.to_string());
            let found = book.version(template, *version).ok_or_else(gone)?;
            match found.data.instance_type {
                Some(_) => Ok(()),
                None => Err(CapacityRejection::NotWhole(template.clone(), "InstanceType")),
            }
        }
    }
}
