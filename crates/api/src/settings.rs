//! Account settings: set, deleted, listed.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-account-settings.html>
//!
//! What a principal has not set itself is as root has set it, else as it usually is. A role's session
//! counts as the role. Settings that nothing here would follow are refused by name.

use aws::Error;
use aws::ecs::{
    DeleteAccountSettingRequest, DeleteAccountSettingResponse, ErrorKind,
    ListAccountSettingsRequest, ListAccountSettingsResponse, PutAccountSettingDefaultRequest,
    PutAccountSettingDefaultResponse, PutAccountSettingRequest, PutAccountSettingResponse, Setting,
    SettingName, SettingType,
};
use model::{AccountSetting, Realm, SettingRecord, SettingValue, State};
use scheduler::Command;

use crate::door::{Caller, Door};
use crate::errors::invalid;
use crate::page::{Order, Page};

/// The values by their names.
const VALUES: [(&str, SettingValue); 7] = [
    ("enabled", SettingValue::Enabled),
    ("disabled", SettingValue::Disabled),
    ("enhanced", SettingValue::Enhanced),
    ("on", SettingValue::On),
    ("off", SettingValue::Off),
    ("blocking", SettingValue::Blocking),
    ("non-blocking", SettingValue::NonBlocking),
];

const fn name(setting: AccountSetting) -> SettingName {
    match setting {
        AccountSetting::LongServiceArns => SettingName::ServiceLongArnFormat,
        AccountSetting::LongTaskArns => SettingName::TaskLongArnFormat,
        AccountSetting::LongInstanceArns => SettingName::ContainerInstanceLongArnFormat,
        AccountSetting::Trunking => SettingName::AwsvpcTrunking,
        AccountSetting::ContainerInsights => SettingName::ContainerInsights,
        AccountSetting::Fips => SettingName::FargateFIPSMode,
        AccountSetting::TagAuthorization => SettingName::TagResourceAuthorization,
        AccountSetting::LogMode => SettingName::DefaultLogDriverMode,
    }
}

fn text(value: SettingValue) -> &'static str {
    VALUES.iter().find(|(_, known)| *known == value).map_or("", |(text, _)| text)
}

/// Which setting is meant, if it is one that can be set.
fn read_name(given: Option<&SettingName>) -> Result<AccountSetting, Error> {
    let given = given.ok_or_else(|| invalid("Invalid setting 'name'"))?;
    if let Some(setting) = AccountSetting::ALL.into_iter().find(|s| name(*s) == *given) {
        return Ok(setting);
    }
    Err(match given {
        SettingName::GuardDutyActivate => invalid(
            "guardDutyActivate is read-only: Amazon GuardDuty sets it, and there is none here.",
        ),
        SettingName::FargateTaskRetirementWaitPeriod | SettingName::FargateEventWindows => {
            invalid(format!(
                "{given} is not built in Wharf: no task is retired for maintenance of the platform."
            ))
        }
        SettingName::Unrecognized(_) => invalid("Invalid setting 'name'"),
        _ => invalid(format!("{given} is not built in Wharf.")),
    })
}

/// The values that a setting can have, and refusals of those that nothing would follow.
fn read_value(setting: AccountSetting, given: Option<&String>) -> Result<SettingValue, Error> {
    use AccountSetting as S;
    use SettingValue as V;
    let wrong = || invalid("Invalid setting 'value'");
    let given = given.map(String::as_str).unwrap_or_default();
    let value = VALUES.iter().find(|(text, _)| *text == given).map(|(_, value)| *value);
    let value = value.ok_or_else(wrong)?;
    match (setting, value) {
        (S::LongServiceArns | S::LongTaskArns | S::LongInstanceArns, V::Disabled) => {
            Err(invalid("You can no longer disable Long Arn settings"))
        }
        (S::Trunking, V::Enabled) => Err(invalid(
            "awsvpcTrunking is not built in Wharf, and not needed: an instance gives interfaces to \
             as many tasks as its CPU and memory take.",
        )),
        (S::Fips, V::Enabled) => Err(invalid(
            "fargateFIPSMode is not built in Wharf: no cryptography here is certified.",
        )),
        (S::LongServiceArns | S::LongTaskArns | S::LongInstanceArns, V::Enabled)
        | (S::Trunking | S::Fips, V::Disabled)
        | (S::ContainerInsights, V::Enabled | V::Disabled | V::Enhanced)
        | (S::TagAuthorization, V::On | V::Off)
        | (S::LogMode, V::Blocking | V::NonBlocking) => Ok(value),
        _ => Err(wrong()),
    }
}

/// Whose settings a caller has: a session has those of its role.
pub(crate) fn principal(caller: &Caller) -> String {
    match &caller.identity.role {
        Some(session) => session.role_arn.clone(),
        None => caller.identity.principal.arn.clone(),
    }
}

/// Whose settings are meant: root may name anybody, others themselves.
fn whose(realm: &Realm, caller: &Caller, given: Option<&String>) -> Result<String, Error> {
    let own = principal(caller);
    let Some(given) = given.filter(|given| !given.is_empty()) else { return Ok(own) };
    let start = format!("arn:{}:iam::{}:", realm.partition, realm.account);
    let known = given.strip_prefix(&start).is_some_and(|rest| {
        rest == "root"
            || ["user/", "role/"]
                .iter()
                .any(|kind| rest.strip_prefix(kind).is_some_and(|name| !name.is_empty()))
    });
    if !known {
        return Err(invalid(format!(
            "principalArn: {given} is not the ARN of root, a user or a role of this account."
        )));
    }
    if *given != own && own != realm.root() {
        return Err(ErrorKind::AccessDeniedException.with(format!(
            "{own} can set account settings of its own only; those of {given} are set by it or by \
             the root user."
        )));
    }
    Ok(given.clone())
}

fn shown(principal: &str, setting: AccountSetting, value: SettingValue) -> Setting {
    Setting {
        name: Some(name(setting)),
        value: Some(text(value).to_owned()),
        principal_arn: Some(principal.to_owned()),
        r#type: Some(SettingType::User),
    }
}

async fn set(door: &Door, record: SettingRecord) -> Result<Setting, Error> {
    let setting = shown(&record.principal, record.setting, record.value);
    door.submit(Command::PutSetting(record)).await?;
    Ok(setting)
}

pub(crate) async fn put(
    door: &Door,
    caller: &Caller,
    request: PutAccountSettingRequest,
) -> Result<PutAccountSettingResponse, Error> {
    let setting = read_name(request.name.as_ref())?;
    let value = read_value(setting, request.value.as_ref())?;
    let principal = whose(door.realm(), caller, request.principal_arn.as_ref())?;
    if setting == AccountSetting::LogMode && principal != door.realm().root() {
        return Err(invalid(
            "defaultLogDriverMode counts for all tasks of the account here, whoever started them; set \
             it with PutAccountSettingDefault.",
        ));
    }
    let setting = set(door, SettingRecord { principal, setting, value }).await?;
    Ok(PutAccountSettingResponse { setting: Some(setting) })
}

/// What root has counts for everybody who has not set it.
pub(crate) async fn put_default(
    door: &Door,
    request: PutAccountSettingDefaultRequest,
) -> Result<PutAccountSettingDefaultResponse, Error> {
    let setting = read_name(request.name.as_ref())?;
    let value = read_value(setting, request.value.as_ref())?;
    let principal = door.realm().root();
    let setting = set(door, SettingRecord { principal, setting, value }).await?;
    Ok(PutAccountSettingDefaultResponse { setting: Some(setting) })
}

/// It answers with what holds from then on.
pub(crate) async fn delete(
    door: &Door,
    caller: &Caller,
    request: DeleteAccountSettingRequest,
) -> Result<DeleteAccountSettingResponse, Error> {
    let setting = read_name(request.name.as_ref())?;
    let principal = whose(door.realm(), caller, request.principal_arn.as_ref())?;
    let command = Command::DeleteSetting(principal.clone(), setting);
    let state = door.submit(command).await?.state;
    let value = state.settings().effective(&door.realm().root(), &principal, setting);
    Ok(DeleteAccountSettingResponse { setting: Some(shown(&principal, setting, value)) })
}

/// Without `effectiveSettings` it lists what the principal has set.
pub(crate) fn list(
    state: &State,
    caller: &Caller,
    request: &ListAccountSettingsRequest,
) -> Result<ListAccountSettingsResponse, Error> {
    if request.value.is_some() && request.name.is_none() {
        return Err(invalid("value: it needs the name of the setting beside it."));
    }
    let realm = state.realm();
    let principal = whose(realm, caller, request.principal_arn.as_ref())?;
    let effective = request.effective_settings.unwrap_or(false);
    let book = state.settings();
    let wanted = |setting: &Setting| {
        (request.name.is_none() || request.name == setting.name)
            && (request.value.is_none() || request.value == setting.value)
    };
    let mut entries: Vec<(String, Setting)> = Vec::new();
    for setting in AccountSetting::ALL {
        let value = match effective {
            true => Some(book.effective(&realm.root(), &principal, setting)),
            false => book.get(&principal, setting),
        };
        entries.extend(value.map(|value| {
            let setting = shown(&principal, setting, value);
            (setting.name.as_ref().map(ToString::to_string).unwrap_or_default(), setting)
        }));
    }
    if effective {
        // Nobody sets it but GuardDuty, of which there is none.
        let setting = Setting {
            name: Some(SettingName::GuardDutyActivate),
            value: Some("off".to_owned()),
            principal_arn: Some(principal.clone()),
            r#type: Some(SettingType::AwsManaged),
        };
        entries.push((SettingName::GuardDutyActivate.to_string(), setting));
    }
    entries.retain(|(_, setting)| wanted(setting));
    let limit = request.max_results.filter(|n| *n != 0);
    let question =
        ListAccountSettingsRequest { next_token: None, max_results: None, ..request.clone() };
    let token = request.next_token.as_deref();
    let page = Page::of_100("ListAccountSettings", token, limit).of(&question)?;
    let page = Page { usual: 10, most: 10, ..page };
    let (settings, next_token) = page.cut(entries, Order::Ascending)?;
    Ok(ListAccountSettingsResponse { settings: Some(settings), next_token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_has_its_values() {
        let read = |name: &str, value: &str| {
            let setting = read_name(Some(&SettingName::from(name)))?;
            read_value(setting, Some(&value.to_owned())).map(text)
        };
        for (name, value, why) in [
            ("serviceLongArnFormat", "enabled", None),
            ("taskLongArnFormat", "disabled", Some("You can no longer disable Long Arn settings")),
            ("containerInstanceLongArnFormat", "ENABLED", Some("Invalid setting 'value'")),
            ("awsvpcTrunking", "disabled", None),
            ("awsvpcTrunking", "enabled", Some("is not built")),
            ("containerInsights", "enhanced", None),
            ("containerInsights", "on", Some("Invalid setting 'value'")),
            ("tagResourceAuthorization", "off", None),
            ("tagResourceAuthorization", "disabled", Some("Invalid setting 'value'")),
            ("defaultLogDriverMode", "non-blocking", None),
            ("fargateFIPSMode", "enabled", Some("is not built")),
            ("fargateTaskRetirementWaitPeriod", "7", Some("no task is retired")),
            ("fargateEventWindows", "enabled", Some("no task is retired")),
            ("guardDutyActivate", "on", Some("read-only")),
            ("colour", "on", Some("Invalid setting 'name'")),
        ] {
            match (read(name, value), why) {
                (Ok(read), None) => assert_eq!(read, value, "{name}"),
                (Err(error), Some(why)) => {
                    assert!(error.message.contains(why), "{name}={value}: {}", error.message);
                }
                (read, why) => panic!("{name}={value}: {read:?}, not {why:?}"),
            }
        }
    }
}
