//! Amazon Resource Names, made from keys and read back into keys.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/security_iam_service-with-iam.html>

use serde::{Deserialize, Serialize};

use crate::{
    Block, ClusterName, DefinitionKey, DeploymentId, Family, InstanceId, InstanceKey,
    ManagedPolicy, ProviderName, Revision, Role, ServiceKey, ServiceName, TaskId, TaskKey,
};

/// Whose resources these are: the account and the region that this Wharf is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Realm {
    /// `aws`.
    pub partition: String,
    /// Such as `us-east-1`.
    pub region: String,
    /// Twelve digits.
    pub account: String,
    /// The addresses of its one network.
    #[serde(default)]
    pub vpc: Block,
}

/// What an ECS ARN names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `cluster/NAME`
    Cluster(ClusterName),
    /// `service/CLUSTER/NAME`
    Service(ServiceKey),
    /// `task/CLUSTER/ID`
    Task(TaskKey),
    /// `container-instance/CLUSTER/ID`
    Instance(InstanceKey),
    /// `task-definition/FAMILY:REVISION`
    Definition(DefinitionKey),
    /// `container/CLUSTER/TASK/ID`
    Container(TaskKey, String),
    /// `task-set/CLUSTER/SERVICE/ecs-svc/ID`
    TaskSet(ServiceKey, DeploymentId),
    /// `capacity-provider/NAME`
    Provider(ProviderName),
}

/// Why a text is not an ARN of this realm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArnError {
    /// It has not the form of an ECS ARN.
    #[error("\"{0}\" is not an Amazon ECS ARN")]
    Form(String),
    /// It is another account's.
    #[error("{arn} belongs to account {theirs}, this is account {ours}")]
    Account {
        /// The whole ARN.
        arn: String,
        /// Its account.
        theirs: String,
        /// This realm's.
        ours: String,
    },
    /// It is another region's.
    #[error("{arn} belongs to region {theirs}, this is region {ours}")]
    Region {
        /// The whole ARN.
        arn: String,
        /// Its region.
        theirs: String,
        /// This realm's.
        ours: String,
    },
}

impl Realm {
    /// A realm in the partition `aws`, whose network has the addresses of a default VPC.
    pub fn new(region: impl Into<String>, account: impl Into<String>) -> Self {
        let (region, account) = (region.into(), account.into());
        Self { partition: "aws".to_owned(), region, account, vpc: Block::DEFAULT }
    }

    /// The ARN of what is attached to a task.
    pub fn attachment(&self, id: &str) -> String {
        self.ecs(format_args!("attachment/{id}"))
    }

    fn ecs(&self, rest: std::fmt::Arguments<'_>) -> String {
        format!("arn:{}:ecs:{}:{}:{rest}", self.partition, self.region, self.account)
    }

    /// A cluster's ARN.
    pub fn cluster(&self, name: &ClusterName) -> String {
        self.ecs(format_args!("cluster/{name}"))
    }

    /// A service's ARN, in the long form.
    pub fn service(&self, key: &ServiceKey) -> String {
        self.ecs(format_args!("service/{}/{}", key.cluster, key.service))
    }

    /// A task set's ARN.
    pub fn task_set(&self, service: &ServiceKey, id: &DeploymentId) -> String {
        self.ecs(format_args!("task-set/{}/{}/{id}", service.cluster, service.service))
    }

    /// A capacity provider's ARN.
    pub fn provider(&self, name: &ProviderName) -> String {
        self.ecs(format_args!("capacity-provider/{name}"))
    }

    /// A task's ARN, in the long form.
    pub fn task(&self, key: &TaskKey) -> String {
        self.ecs(format_args!("task/{}/{}", key.cluster, key.task))
    }

    /// A container instance's ARN, in the long form.
    pub fn instance(&self, key: &InstanceKey) -> String {
        self.ecs(format_args!("container-instance/{}/{}", key.cluster, key.instance))
    }

    /// A task definition's ARN.
    pub fn definition(&self, key: &DefinitionKey) -> String {
        self.ecs(format_args!("task-definition/{key}"))
    }

    /// A container's ARN.
    pub fn container(&self, task: &TaskKey, id: &str) -> String {
        self.ecs(format_args!("container/{}/{}/{id}", task.cluster, task.task))
    }

    /// The ARN of the account's root, who owns everything.
    pub fn root(&self) -> String {
        format!("arn:{}:iam::{}:root", self.partition, self.account)
    }

    /// A role's ARN.
    pub fn role(&self, role: &Role) -> String {
        format!("arn:{}:iam::{}:role{}{}", self.partition, self.account, role.path, role.name)
    }

    /// A managed policy's ARN.
    pub fn policy(&self, policy: &ManagedPolicy) -> String {
        let Self { partition, account, .. } = self;
        format!("arn:{partition}:iam::{account}:policy{}{}", policy.path, policy.name)
    }

    /// The name of the role that an ARN of this account names; a bare name names itself, as ECS
    /// takes it.
    pub fn role_name<'a>(&self, role: &'a str) -> Option<&'a str> {
        let prefix = format!("arn:{}:iam::{}:role/", self.partition, self.account);
        let name = match role.strip_prefix(&prefix) {
            Some(path) => path.rsplit('/').next().unwrap_or_default(),
            None if role.starts_with("arn:") || role.contains('/') => return None,
            None => role,
        };
        (!name.is_empty()).then_some(name)
    }

    /// Reads an ECS ARN of this realm.
    pub fn parse(&self, arn: &str) -> Result<Resource, ArnError> {
        let form = || ArnError::Form(arn.to_owned());
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let [prefix, partition, service, region, account, resource] = parts[..] else {
            return Err(form());
        };
        if prefix != "arn" || partition != self.partition || service != "ecs" {
            return Err(form());
        }
        if region != self.region {
            let (theirs, ours) = (region.to_owned(), self.region.clone());
            return Err(ArnError::Region { arn: arn.to_owned(), theirs, ours });
        }
        if account != self.account {
            let (theirs, ours) = (account.to_owned(), self.account.clone());
            return Err(ArnError::Account { arn: arn.to_owned(), theirs, ours });
        }
        let parts: Vec<&str> = resource.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(form());
        }
        Ok(match parts[..] {
            ["cluster", name] => Resource::Cluster(name.into()),
            ["service", cluster, service] => Resource::Service(ServiceKey {
                cluster: cluster.into(),
                service: ServiceName::from(service),
            }),
            ["task", cluster, task] => {
                Resource::Task(TaskKey { cluster: cluster.into(), task: TaskId::from(task) })
            }
            ["container-instance", cluster, instance] => Resource::Instance(InstanceKey {
                cluster: cluster.into(),
                instance: InstanceId::from(instance),
            }),
            ["task-definition", key] => {
                Resource::Definition(DefinitionKey::parse(key).ok_or_else(form)?)
            }
            ["container", cluster, task, id] => Resource::Container(
                TaskKey { cluster: cluster.into(), task: TaskId::from(task) },
                id.to_owned(),
            ),
            ["task-set", cluster, service, "ecs-svc", id] => Resource::TaskSet(
                ServiceKey { cluster: cluster.into(), service: ServiceName::from(service) },
                DeploymentId::from(format!("ecs-svc/{id}")),
            ),
            ["capacity-provider", name] => Resource::Provider(name.into()),
            _ => return Err(form()),
        })
    }
}

impl DefinitionKey {
    /// Reads `family:revision`.
    pub fn parse(text: &str) -> Option<Self> {
        let (family, revision) = text.rsplit_once(':')?;
        let revision: u32 = revision.parse().ok().filter(|r| *r > 0)?;
        (!family.is_empty())
            .then(|| Self { family: Family::from(family), revision: Revision(revision) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_read_back() {
        let realm = Realm::new("eu-west-1", "123456789012");
        let task = TaskKey { cluster: "default".into(), task: "0f".into() };
        let service = ServiceKey { cluster: "default".into(), service: "web".into() };
        let instance = InstanceKey { cluster: "c".into(), instance: "9a".into() };
        let definition = DefinitionKey { family: "web".into(), revision: Revision(12) };
        let set = DeploymentId::from("ecs-svc/42");
        for (arn, resource) in [
            (realm.cluster(&"c".into()), Resource::Cluster("c".into())),
            (realm.task(&task), Resource::Task(task.clone())),
            (realm.service(&service), Resource::Service(service.clone())),
            (realm.task_set(&service, &set), Resource::TaskSet(service, set)),
            (realm.provider(&"p".into()), Resource::Provider("p".into())),
            (realm.instance(&instance), Resource::Instance(instance)),
            (realm.definition(&definition), Resource::Definition(definition)),
            (realm.container(&task, "x"), Resource::Container(task.clone(), "x".into())),
        ] {
            assert_eq!(realm.parse(&arn), Ok(resource), "{arn}");
        }
    }

    #[test]
    fn what_is_foreign_says_whose_it_is() {
        let realm = Realm::new("eu-west-1", "123456789012");
        let form = |text: &str| Err(ArnError::Form(text.to_owned()));
        for text in [
            "",
            "web",
            "arn:aws:ecs:eu-west-1:123456789012:",
            "arn:aws:ecs:eu-west-1:123456789012:cluster/",
            "arn:aws:ecs:eu-west-1:123456789012:task/x",
            "arn:aws:ecs:eu-west-1:123456789012:task-definition/web",
            "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:0",
            "arn:aws:s3:eu-west-1:123456789012:cluster/c",
        ] {
            assert_eq!(realm.parse(text), form(text));
        }
        let other = realm.parse("arn:aws:ecs:us-east-1:123456789012:cluster/c");
        assert!(matches!(other, Err(ArnError::Region { .. })));
        let other = realm.parse("arn:aws:ecs:eu-west-1:000000000000:cluster/c");
        assert!(matches!(other, Err(ArnError::Account { .. })));
    }
}
