//! ARNs of service deployments and service revisions.

use super::{RevisionKey, ServiceDeploymentKey};
use crate::{DeploymentId, Realm, ServiceKey};

/// What an ARN of this module names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeploymentResource {
    /// A service deployment.
    Deployment(ServiceDeploymentKey),
    /// A service revision.
    Revision(RevisionKey),
}

impl Realm {
    /// A service deployment's ARN.
    pub fn service_deployment(&self, key: &ServiceDeploymentKey) -> String {
        format!("{}service-deployment/{key}", self.ecs_prefix())
    }

    /// A service revision's ARN.
    pub fn service_revision(&self, key: &RevisionKey) -> String {
        format!("{}service-revision/{key}", self.ecs_prefix())
    }

    fn ecs_prefix(&self) -> String {
        format!("arn:{}:ecs:{}:{}:", self.partition, self.region, self.account)
    }

    /// Reads the ARN of a service deployment or a service revision of this realm.
    pub fn parse_deployment(&self, arn: &str) -> Option<DeploymentResource> {
        let parts: Vec<&str> = arn.strip_prefix(&self.ecs_prefix())?.split('/').collect();
        let [kind, cluster, service, id] = parts[..] else { return None };
        if cluster.is_empty() || service.is_empty() || id.is_empty() {
            return None;
        }
        let service = ServiceKey { cluster: cluster.into(), service: service.into() };
        match kind {
            "service-deployment" => Some(DeploymentResource::Deployment(ServiceDeploymentKey {
                service,
                id: id.into(),
            })),
            "service-revision" => {
                let deployment = DeploymentId::from(format!("ecs-svc/{id}"));
                Some(DeploymentResource::Revision(RevisionKey { service, deployment }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_read_back() {
        let realm = Realm::new("eu-west-1", "123456789012");
        let service = ServiceKey { cluster: "c".into(), service: "web".into() };
        let deployment = ServiceDeploymentKey { service: service.clone(), id: "NCW-x_1".into() };
        let revision = RevisionKey { service, deployment: "ecs-svc/4980306466373577095".into() };
        let arn = realm.service_deployment(&deployment);
        assert_eq!(arn, "arn:aws:ecs:eu-west-1:123456789012:service-deployment/c/web/NCW-x_1");
        assert_eq!(realm.parse_deployment(&arn), Some(DeploymentResource::Deployment(deployment)));
        let arn = realm.service_revision(&revision);
        assert!(arn.ends_with(":service-revision/c/web/4980306466373577095"), "{arn}");
        assert_eq!(realm.parse_deployment(&arn), Some(DeploymentResource::Revision(revision)));
        for other in ["", "x", &arn.replace("west-1", "west-2"), &arn.replace("/web", "")] {
            assert_eq!(realm.parse_deployment(other), None, "{other}");
        }
    }
}
