//! Capacity providers, and the strategies by which clusters, services and calls name them.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-capacity-providers.html>

mod providers;
mod strategy;

pub(crate) use providers::{create, delete, describe, group_arn, of_cluster, put_cluster, update};
pub(crate) use strategy::{read, read_for, show};
