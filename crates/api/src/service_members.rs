//! The members of CreateService and UpdateService that ask for what is not built, and the deployment
//! configuration that both take.

use aws::Error;
use aws::ecs::{
    CreateServiceRequest, DeploymentCircuitBreaker, DeploymentConfiguration, GatewayConnector,
    MonitoringConfiguration, ServiceConnectConfiguration, ServiceRegistry,
    ServiceVolumeConfiguration, ThresholdConfiguration, ThresholdType, UpdateServiceRequest,
    VpcLatticeConfiguration,
};
use model::{BreakerThreshold, CircuitBreaker};

use crate::errors::invalid;
use crate::refuse::PARAMETER;

/// The largest `maximumPercent`.
const MOST_PERCENT: u32 = 10_000;

/// What both requests have and this build does not.
#[derive(Debug, Default)]
pub(crate) struct Members<'a> {
    service_registries: Option<&'a Vec<ServiceRegistry>>,
    role: Option<&'a String>,
    connect: Option<&'a ServiceConnectConfiguration>,
    volumes: Option<&'a Vec<ServiceVolumeConfiguration>>,
    lattice: Option<&'a Vec<VpcLatticeConfiguration>>,
    gateways: Option<&'a Vec<GatewayConnector>>,
    monitoring: Option<&'a MonitoringConfiguration>,
}

impl<'a> Members<'a> {
    /// Those of CreateService.
    pub(crate) fn of_create(request: &'a CreateServiceRequest) -> Self {
        Self {
            service_registries: request.service_registries.as_ref(),
            role: request.role.as_ref(),
            connect: request.service_connect_configuration.as_ref(),
            volumes: request.volume_configurations.as_ref(),
            lattice: request.vpc_lattice_configurations.as_ref(),
            gateways: request.gateway_connectors.as_ref(),
            monitoring: request.monitoring.as_ref(),
        }
    }

    /// Those of UpdateService.
    pub(crate) fn of_update(request: &'a UpdateServiceRequest) -> Self {
        Self {
            service_registries: request.service_registries.as_ref(),
            role: None,
            connect: request.service_connect_configuration.as_ref(),
            volumes: request.volume_configurations.as_ref(),
            lattice: request.vpc_lattice_configurations.as_ref(),
            gateways: request.gateway_connectors.as_ref(),
            monitoring: request.monitoring.as_ref(),
        }
    }

    /// Refuses what asks for something.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let r = PARAMETER;
        r.list("serviceRegistries", self.service_registries, "service discovery is")?;
        r.text("role", self.role, "registering targets by a role of your own is")?;
        let connect = self.connect.filter(|connect| connect.enabled == Some(true));
        r.given("serviceConnectConfiguration", connect, "Service Connect is")?;
        r.list("volumeConfigurations", self.volumes, "volumes configured at launch are")?;
        r.list("vpcLatticeConfigurations", self.lattice, "VPC Lattice is")?;
        r.list("gatewayConnectors", self.gateways, "gateways are")?;
        r.said("monitoring", self.monitoring, "metrics of services are")
    }
}

/// What of a deployment configuration can be honoured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rollout {
    /// `(maximum, minimum)`.
    pub(crate) percents: (Option<u32>, Option<u32>),
    pub(crate) circuit_breaker: Option<CircuitBreaker>,
}

/// Reads a deployment configuration.
pub(crate) fn read_deployment(given: Option<&DeploymentConfiguration>) -> Result<Rollout, Error> {
    let Some(given) = given else {
        return Ok(Rollout::default());
    };
    let percents = percents(given.maximum_percent, given.minimum_healthy_percent)?;
    let circuit_breaker =
        given.deployment_circuit_breaker.as_ref().map(circuit_breaker).transpose()?;
    Ok(Rollout { percents, circuit_breaker })
}

fn percents(
    maximum: Option<i32>,
    minimum: Option<i32>,
) -> Result<(Option<u32>, Option<u32>), Error> {
    let read = |given: Option<i32>, from: u32, to: u32, member: &str| {
        given
            .map(|percent| {
                u32::try_from(percent).ok().filter(|p| (from..=to).contains(p)).ok_or_else(|| {
                    invalid(format!(
                        "deploymentConfiguration.{member}: it must be between {from} and {to}."
                    ))
                })
            })
            .transpose()
    };
    let maximum = read(maximum, 100, MOST_PERCENT, "maximumPercent")?;
    let minimum = read(minimum, 0, 100, "minimumHealthyPercent")?;
    if maximum == Some(100) && minimum == Some(100) {
        return Err(invalid(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block \
             deployments.",
        ));
    }
    Ok((maximum, minimum))
}

fn circuit_breaker(given: &DeploymentCircuitBreaker) -> Result<CircuitBreaker, Error> {
    let threshold = given.threshold_configuration.as_ref().map(threshold).transpose()?;
    Ok(CircuitBreaker {
        enable: given.enable.unwrap_or(false),
        rollback: given.rollback.unwrap_or(false),
        threshold: threshold.unwrap_or_default(),
        counts_on: given.reset_on_healthy_task == Some(false),
    })
}

fn threshold(given: &ThresholdConfiguration) -> Result<BreakerThreshold, Error> {
    let member = |name: &str| {
        format!("deploymentConfiguration.deploymentCircuitBreaker.thresholdConfiguration.{name}")
    };
    let Some(value) = given.value.and_then(|value| u32::try_from(value).ok()).filter(|v| *v > 0)
    else {
        return Err(invalid(format!("{}: it is a number above 0.", member("value"))));
    };
    Ok(match &given.r#type {
        Some(ThresholdType::Count) => BreakerThreshold::Count(value),
        Some(ThresholdType::BoundedPercent) => BreakerThreshold::BoundedPercent(value),
        Some(ThresholdType::UnboundedPercent) => BreakerThreshold::UnboundedPercent(value),
        Some(ThresholdType::Unrecognized(_)) | None => {
            let member = member("type");
            return Err(invalid(format!(
                "{member}: it is COUNT, BOUNDED_PERCENT or UNBOUNDED_PERCENT."
            )));
        }
    })
}
