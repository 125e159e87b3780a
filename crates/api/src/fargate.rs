//! The launch type `FARGATE` wherever one is asked for: which platform, how much, and what else may
//! be asked of it. The sentences are ECS's where they are known.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/AWS_Fargate.html>

use aws::Error;
use aws::ecs::{
    CapacityProviderStrategyItem, EphemeralStorage, ErrorKind, LaunchType as WireLaunch,
};
use model::{ClusterName, FargatePlatform, LaunchType, State, StrategyItem};

use crate::errors::invalid;
use crate::{capacity, run};

/// The one version of the platform, which is the newest.
pub(crate) const PLATFORM: &str = "1.4.0";

/// Every task has so much storage of its own, in GiB.
const STORAGE: i32 = 20;

/// So many CPU units go with memory from this to that many MiB, in steps of so many.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html>
const SIZES: &[(u32, std::ops::RangeInclusive<u32>, u32)] = &[
    (256, 512..=1024, 512),
    (256, 2048..=2048, 1),
    (512, 1024..=4096, 1024),
    (1024, 2048..=8192, 1024),
    (2048, 4096..=16_384, 1024),
    (4096, 8192..=30_720, 1024),
    (8192, 16_384..=61_440, 4096),
    (16_384, 32_768..=122_880, 8192),
];

/// What keeps a task from being of this size; none if it may be.
pub(crate) fn wrong_size(cpu: u32, memory: u32) -> Option<String> {
    let fits = SIZES.iter().any(|(units, range, step)| {
        cpu == *units && range.contains(&memory) && (memory - range.start()).is_multiple_of(*step)
    });
    (!fits).then(|| {
        format!(
            "No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See the \
             Amazon ECS documentation for the valid values."
        )
    })
}

/// Where the capacity of a call comes from: what it names, or what its strategy or the cluster's
/// leads to.
pub(crate) fn capacity(
    state: &State,
    cluster: &ClusterName,
    launch: Option<&WireLaunch>,
    strategy: Option<&Vec<CapacityProviderStrategyItem>>,
) -> Result<(LaunchType, Vec<StrategyItem>), Error> {
    let named = run::launch_type(launch)?;
    let strategy = capacity::read_for(state, cluster, launch, strategy)?;
    Ok((LaunchType::of_strategy(&strategy).unwrap_or(named), strategy))
}

/// The version of the platform that is asked for; none if none is.
pub(crate) fn platform(
    launch: LaunchType,
    given: Option<&String>,
) -> Result<Option<FargatePlatform>, Error> {
    let Some(given) = given.filter(|given| !given.is_empty()) else { return Ok(None) };
    match (launch, given.as_str()) {
        (LaunchType::Ec2 | LaunchType::External, _) => {
            Err(invalid("The platform version must be null when specifying an EC2 launch type."))
        }
        (LaunchType::Fargate, "LATEST") => Ok(Some(FargatePlatform::Latest)),
        (LaunchType::Fargate, PLATFORM) => Ok(Some(FargatePlatform::Newest)),
        (LaunchType::Fargate, other) => Err(ErrorKind::PlatformUnknownException.with(format!(
            "The specified platform version doesn't exist. There is {PLATFORM}, which is also \
             LATEST; \"{other}\" is neither."
        ))),
    }
}

/// A version of the platform as it was asked for.
pub(crate) fn show_platform(platform: FargatePlatform) -> String {
    match platform {
        FargatePlatform::Latest => "LATEST".to_owned(),
        FargatePlatform::Newest => PLATFORM.to_owned(),
    }
}

/// The version of the platform that tasks of a launch type run on, if they run on one.
pub(crate) fn runs_on(launch: LaunchType) -> Option<String> {
    (launch == LaunchType::Fargate).then(|| PLATFORM.to_owned())
}

/// Its family, likewise.
pub(crate) fn family(launch: LaunchType) -> Option<String> {
    (launch == LaunchType::Fargate).then(|| "Linux".to_owned())
}

/// The storage that a task of this launch type shows.
pub(crate) fn storage(launch: LaunchType) -> Option<EphemeralStorage> {
    (launch == LaunchType::Fargate).then_some(EphemeralStorage { size_in_gib: Some(STORAGE) })
}

/// Refuses to have places chosen where there is nothing to choose from.
pub(crate) fn chooses_nothing<C, S>(
    launch: LaunchType,
    constraints: Option<&Vec<C>>,
    strategy: Option<&Vec<S>>,
) -> Result<(), Error> {
    let asks = |given: bool, what: &str| match given && launch == LaunchType::Fargate {
        true => Err(invalid(format!("{what} are not supported with FARGATE launch type."))),
        false => Ok(()),
    };
    asks(constraints.is_some_and(|list| !list.is_empty()), "Placement constraints")?;
    asks(strategy.is_some_and(|list| !list.is_empty()), "Placement strategies")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_has_one_of_fargates_sizes() {
        for (cpu, memory, fits) in [
            (256, 512, true),
            (256, 1024, true),
            (256, 1536, false),
            (256, 2048, true),
            (256, 3072, false),
            (300, 512, false),
            (512, 512, false),
            (512, 4096, true),
            (512, 5120, false),
            (1024, 2048, true),
            (1024, 2500, false),
            (2048, 16_384, true),
            (4096, 30_720, true),
            (4096, 31_744, false),
            (8192, 16_384, true),
            (8192, 17_408, false),
            (8192, 61_440, true),
            (16_384, 32_768, true),
            (16_384, 36_864, false),
            (16_384, 122_880, true),
            (32_768, 122_880, false),
        ] {
            assert_eq!(wrong_size(cpu, memory).is_none(), fits, "{cpu} CPU, {memory} memory");
        }
        let wrong = wrong_size(300, 512).unwrap();
        assert!(wrong.starts_with(
            "No Fargate configuration exists for given values: 300 CPU, 512 memory. See the Amazon ECS"
        ));
    }

    #[test]
    fn there_is_one_platform_by_two_names() {
        let read = |launch, given: &str| platform(launch, Some(&given.to_owned()));
        assert_eq!(read(LaunchType::Fargate, "LATEST").unwrap(), Some(FargatePlatform::Latest));
        assert_eq!(read(LaunchType::Fargate, "1.4.0").unwrap(), Some(FargatePlatform::Newest));
        assert_eq!(platform(LaunchType::Fargate, None).unwrap(), None);
        assert_eq!(read(LaunchType::Ec2, "").unwrap(), None);
        let unknown = read(LaunchType::Fargate, "9.9.9").unwrap_err();
        assert_eq!(unknown.code, "PlatformUnknownException");
        assert!(unknown.message.starts_with("The specified platform version doesn't exist."));
        let none = read(LaunchType::Ec2, "LATEST").unwrap_err();
        assert!(none.message.contains("must be null when specifying an EC2 launch type"));
    }
}
