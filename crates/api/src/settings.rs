//! ListAccountSettings: what holds here, since nothing of it can be changed yet.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-account-settings.html>

use aws::Error;
use aws::ecs::{
    ListAccountSettingsRequest, ListAccountSettingsResponse, Setting, SettingName, SettingType,
};
use model::State;

use crate::errors::invalid;
use crate::page::{Order, Page};

/// The settings and their effective values. Those of Fargate's maintenance are left out: there is
/// no such maintenance.
const EFFECTIVE: [(SettingName, &str); 9] = [
    (SettingName::AwsvpcTrunking, "disabled"),
    (SettingName::ContainerInsights, "disabled"),
    (SettingName::ContainerInstanceLongArnFormat, "enabled"),
    (SettingName::DefaultLogDriverMode, "blocking"),
    (SettingName::FargateFIPSMode, "disabled"),
    (SettingName::GuardDutyActivate, "off"),
    (SettingName::ServiceLongArnFormat, "enabled"),
    (SettingName::TagResourceAuthorization, "off"),
    (SettingName::TaskLongArnFormat, "enabled"),
];

/// Without `effectiveSettings` it lists what was set by hand, which is nothing.
pub(crate) fn list(
    state: &State,
    request: &ListAccountSettingsRequest,
) -> Result<ListAccountSettingsResponse, Error> {
    if request.value.is_some() && request.name.is_none() {
        return Err(invalid("value: it needs the name of the setting beside it."));
    }
    let principal = request.principal_arn.clone().unwrap_or_else(|| state.realm().root());
    let effective = request.effective_settings.unwrap_or(false);
    let entries = EFFECTIVE
        .iter()
        .filter(|_| effective)
        .filter(|(name, _)| request.name.as_ref().is_none_or(|wanted| wanted == name))
        .filter(|(_, value)| request.value.as_ref().is_none_or(|wanted| wanted == value))
        .map(|(name, value)| {
            let setting = Setting {
                name: Some(name.clone()),
                value: Some((*value).to_owned()),
                principal_arn: Some(principal.clone()),
                r#type: Some(SettingType::User),
            };
            (name.to_string(), setting)
        })
        .collect();
    let limit = request.max_results.filter(|n| *n != 0);
    let page = Page {
        usual: 10,
        most: 100,
        ..Page::of_100("ListAccountSettings", request.next_token.as_deref(), limit)
    };
    let (settings, next_token) = page.cut(entries, Order::Ascending)?;
    Ok(ListAccountSettingsResponse { settings: Some(settings), next_token })
}
