//! What may be asked of launch templates.

use model::{LaunchTemplateId, Tags, TemplateData};

/// CreateLaunchTemplate. The same token and name again make nothing new.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTemplate {
    /// Its name.
    pub name: String,
    /// Of its first version.
    pub description: Option<String>,
    /// Its first version.
    pub data: TemplateData,
    /// Its tags.
    pub tags: Tags,
    /// Who asks.
    pub by: String,
    /// The caller's token, where given.
    pub token: Option<String>,
}

/// CreateLaunchTemplateVersion. The same token again makes nothing new.
#[derive(Clone, Debug, PartialEq)]
pub struct NewVersion {
    /// Of which template.
    pub template: LaunchTemplateId,
    /// The version that what is absent is taken from.
    pub source: Option<u64>,
    /// For people.
    pub description: Option<String>,
    /// What it says.
    pub data: TemplateData,
    /// Who asks.
    pub by: String,
    /// The caller's token, where given.
    pub token: Option<String>,
}
