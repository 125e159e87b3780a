//! How a node is started: launch configurations, and launch templates with their versions.
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-launch-templates.html>

use std::fmt;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{ClusterName, LaunchConfigurationName, LaunchTemplateId, Tags};

/// How a node is started. Never changed: another one takes its place.
/// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_LaunchConfiguration.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchConfiguration {
    /// Where it is found.
    pub name: LaunchConfigurationName,
    /// The machine image that was asked for; it goes to whoever starts the node.
    pub image: String,
    /// The size that was asked for; it goes to whoever starts the node.
    pub instance_type: String,
    /// What the node is told at its start, as it was given (not in base 64).
    pub user_data: String,
    /// The cluster that its nodes join: `ECS_CLUSTER` of the user data, else `default`.
    pub cluster: ClusterName,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A launch template. Its versions are records of their own.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_LaunchTemplate.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchTemplate {
    /// Where it is found.
    pub id: LaunchTemplateId,
    /// Its name, unique in the realm.
    pub name: String,
    /// The version that `$Default` means.
    pub default: u64,
    /// The newest version that was ever made; `$Latest` means the newest that is there.
    pub latest: u64,
    /// Its tags.
    pub tags: Tags,
    /// Who made it.
    pub created_by: String,
    /// The token that it was made with, where one was given.
    pub token: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A version of a launch template. Never changed.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_LaunchTemplateVersion.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateVersion {
    /// Of which template.
    pub template: LaunchTemplateId,
    /// From 1; a number is not used again.
    pub number: u64,
    /// For people.
    pub description: Option<String>,
    /// How nodes are started by it.
    pub data: TemplateData,
    /// Who made it.
    pub created_by: String,
    /// The token that it was made with, where one was given.
    pub token: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a version says of nodes. What is absent was not said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateData {
    /// See [`LaunchConfiguration::image`].
    pub image: Option<String>,
    /// See [`LaunchConfiguration::instance_type`].
    pub instance_type: Option<String>,
    /// See [`LaunchConfiguration::user_data`].
    pub user_data: Option<String>,
    /// See [`LaunchConfiguration::cluster`]; none is `default`.
    pub cluster: Option<ClusterName>,
    /// Tags for its nodes.
    pub tags: Tags,
}

/// Which version of a launch template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VersionChoice {
    /// This one.
    Number(u64),
    /// The newest, whenever a node is started.
    Latest,
    /// The default one, whenever a node is started.
    Default,
}

/// By what a group starts its nodes. A record of earlier versions of Wharf holds only the name of a
/// launch configuration, which is read as that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LaunchSource {
    /// A launch configuration.
    Configuration(LaunchConfigurationName),
    /// A launch template.
    Template {
        /// Which.
        template: LaunchTemplateId,
        /// In which version.
        version: VersionChoice,
    },
}

/// By what a node was started: see [`LaunchSource`], but a version is a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LaunchedBy {
    /// A launch configuration.
    Configuration(LaunchConfigurationName),
    /// A version of a launch template.
    Template {
        /// Which template.
        template: LaunchTemplateId,
        /// Which version.
        version: u64,
    },
}

/// All that it takes to start a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchTerms {
    /// By what.
    pub by: LaunchedBy,
    /// See [`LaunchConfiguration::image`].
    pub image: String,
    /// See [`LaunchConfiguration::instance_type`].
    pub instance_type: String,
    /// See [`LaunchConfiguration::user_data`].
    pub user_data: String,
    /// The cluster that the node joins.
    pub cluster: ClusterName,
    /// Tags for the node, beside those of its group.
    pub tags: Tags,
}

impl fmt::Display for VersionChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Latest => f.write_str("$Latest"),
            Self::Default => f.write_str("$Default"),
        }
    }
}

impl fmt::Display for LaunchSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(name) => write!(f, "the launch configuration {name}"),
            Self::Template { template, version } => {
                write!(f, "version {version} of the launch template {template}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_is_a_launch_configuration_as_it_used_to_be() {
        let bytes = rmp_serde::to_vec_named("small").unwrap();
        let source: LaunchSource = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(source, LaunchSource::Configuration("small".into()));
        let by: LaunchedBy = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(by, LaunchedBy::Configuration("small".into()));
        for version in [VersionChoice::Number(3), VersionChoice::Latest, VersionChoice::Default] {
            let source = LaunchSource::Template { template: "lt-1".into(), version };
            let bytes = rmp_serde::to_vec_named(&source).unwrap();
            assert_eq!(rmp_serde::from_slice::<LaunchSource>(&bytes).unwrap(), source);
        }
    }
}
