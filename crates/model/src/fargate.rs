//! Fargate: capacity without instances. Nodes that offer it take tasks of the launch type `FARGATE`
//! from every cluster, each kept apart from the node and from every other one.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/AWS_Fargate.html>

use serde::{Deserialize, Serialize};

use crate::{ClusterName, Instance, LaunchType, ProviderName, StrategyItem};

/// The attribute of nodes that offer it.
pub const FARGATE_CAPABILITY: &str = "wharf.capability.fargate";

/// Where nodes are registered that offer nothing else. It is no cluster: nobody can make it, list it
/// or ask it for anything, so neither do its nodes show as container instances.
pub const FARGATE_CLUSTER: &str = "wharf-fargate";

/// The capacity providers that are there without having been made.
pub const FARGATE_PROVIDERS: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];

/// Which version of the platform a service asks for (`platformVersion`). There is one, so the words
/// differ and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FargatePlatform {
    /// `LATEST`.
    #[default]
    Latest,
    /// `1.4.0`.
    Newest,
}

impl ProviderName {
    /// Whether it is one of Fargate's.
    pub fn is_fargate(&self) -> bool {
        FARGATE_PROVIDERS.contains(&self.as_str())
    }
}

impl ClusterName {
    /// Whether it is what nodes join that offer Fargate alone.
    pub fn is_fargates(&self) -> bool {
        self.as_str() == FARGATE_CLUSTER
    }
}

impl LaunchType {
    /// The launch type of tasks that a strategy gives to capacity providers: Fargate's are not mixed
    /// with others. None for none.
    pub fn of_strategy(strategy: &[StrategyItem]) -> Option<Self> {
        let first = strategy.first()?;
        Some(if first.provider.is_fargate() { Self::Fargate } else { Self::Ec2 })
    }
}

impl Instance {
    /// Whether it takes tasks of the launch type `FARGATE`.
    pub fn offers_fargate(&self) -> bool {
        self.attribute(FARGATE_CAPABILITY).is_some()
    }
}
