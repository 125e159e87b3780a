//! Placement constraints and strategies, from the wire and back.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-placement.html>

use aws::Error;
use aws::ecs::{
    AvailabilityZoneRebalancing, PlacementConstraint as WireConstraint, PlacementConstraintType,
    PlacementStrategy as WireStrategy, PlacementStrategyType,
    TaskDefinitionPlacementConstraint as DefinitionConstraint,
    TaskDefinitionPlacementConstraintType,
};
use model::query::Expression;
use model::{PlacementConstraint, PlacementStrategy, SpreadField};

use crate::errors::{client, invalid};

const MOST_CONSTRAINTS: usize = 10;
const MOST_STRATEGIES: usize = 5;

/// Reads constraints; none is the same as an empty list.
pub(crate) fn read_constraints(
    given: Option<&Vec<WireConstraint>>,
) -> Result<Vec<PlacementConstraint>, Error> {
    let given = given.map(Vec::as_slice).unwrap_or_default();
    if given.len() > MOST_CONSTRAINTS {
        return Err(invalid(format!(
            "placementConstraints has {} entries; at most {MOST_CONSTRAINTS} can be given.",
            given.len()
        )));
    }
    given
        .iter()
        .map(|constraint| match &constraint.r#type {
            Some(PlacementConstraintType::DistinctInstance) => {
                if constraint.expression.is_some() {
                    return Err(invalid("distinctInstance expression should not be specified."));
                }
                Ok(PlacementConstraint::DistinctInstance)
            }
            Some(PlacementConstraintType::MemberOf) => {
                let expression = constraint.expression.as_deref();
                member_of(expression).map(PlacementConstraint::MemberOf).map_err(invalid)
            }
            Some(PlacementConstraintType::Unrecognized(_)) | None => {
                Err(invalid("placementConstraints: type must be distinctInstance or memberOf."))
            }
        })
        .collect()
}

/// Reads those of a task definition, which may only be `memberOf`.
pub(crate) fn read_definition_constraints(
    given: Option<&Vec<DefinitionConstraint>>,
) -> Result<Vec<PlacementConstraint>, Error> {
    let given = given.map(Vec::as_slice).unwrap_or_default();
    if given.len() > MOST_CONSTRAINTS {
        return Err(client(format!(
            "placementConstraints has {} entries; at most {MOST_CONSTRAINTS} can be given.",
            given.len()
        )));
    }
    let read = |constraint: &DefinitionConstraint| match &constraint.r#type {
        Some(TaskDefinitionPlacementConstraintType::MemberOf) => {
            let expression = constraint.expression.as_deref();
            member_of(expression).map(PlacementConstraint::MemberOf).map_err(client)
        }
        Some(TaskDefinitionPlacementConstraintType::Unrecognized(other)) => Err(client(format!(
            "constraint.type '{other}' is not supported. A task definition takes memberOf; the \
             others are given to RunTask and to services."
        ))),
        None => Err(client("placementConstraints: type must be memberOf.")),
    };
    given.iter().map(read).collect()
}

/// The expression of a `memberOf`, or what is wrong with it.
fn member_of(given: Option<&str>) -> Result<Expression, String> {
    let text = given.unwrap_or_default();
    if text.trim().is_empty() {
        return Err("memberOf expression should be specified.".to_owned());
    }
    expression(text)
}

/// An expression of the cluster query language, or what is wrong with it.
pub(crate) fn expression(text: &str) -> Result<Expression, String> {
    Expression::parse(text).map_err(|error| {
        format!(
            "Invalid expression \"{text}\": {error}. \
             See https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-query-language.html"
        )
    })
}

/// Reads strategies; none is the same as an empty list.
pub(crate) fn read_strategy(
    given: Option<&Vec<WireStrategy>>,
) -> Result<Vec<PlacementStrategy>, Error> {
    let given = given.map(Vec::as_slice).unwrap_or_default();
    if given.len() > MOST_STRATEGIES {
        return Err(invalid(format!(
            "placementStrategy has {} entries; at most {MOST_STRATEGIES} can be given.",
            given.len()
        )));
    }
    given.iter().map(strategy).collect()
}

fn strategy(given: &WireStrategy) -> Result<PlacementStrategy, Error> {
    let field = given.field.as_deref().unwrap_or_default();
    match &given.r#type {
        Some(PlacementStrategyType::Random) if field.is_empty() => Ok(PlacementStrategy::Random),
        Some(PlacementStrategyType::Random) => {
            Err(invalid("The placement strategy random takes no field."))
        }
        Some(PlacementStrategyType::Binpack) => match field.to_ascii_lowercase().as_str() {
            "cpu" => Ok(PlacementStrategy::BinpackCpu),
            "memory" => Ok(PlacementStrategy::BinpackMemory),
            _ => Err(invalid(format!(
                "The placement strategy binpack takes the field cpu or memory, not \"{field}\"."
            ))),
        },
        Some(PlacementStrategyType::Spread) => spread(field).map(PlacementStrategy::Spread),
        Some(PlacementStrategyType::Unrecognized(_)) | None => {
            Err(invalid("placementStrategy: type must be random, spread or binpack."))
        }
    }
}

fn spread(field: &str) -> Result<SpreadField, Error> {
    match field {
        "instanceId" | "host" => Ok(SpreadField::Instance),
        _ => match field.strip_prefix("attribute:") {
            Some(name) if !name.is_empty() => Ok(SpreadField::Attribute(name.to_owned())),
            _ => Err(invalid(format!(
                "The placement strategy spread takes the field instanceId, host or \
                 attribute:NAME, not \"{field}\"."
            ))),
        },
    }
}

/// Whether a service's tasks are to be kept even over availability zones, if that is said.
pub(crate) fn read_rebalancing(
    given: Option<&AvailabilityZoneRebalancing>,
) -> Result<Option<bool>, Error> {
    match given {
        None => Ok(None),
        Some(AvailabilityZoneRebalancing::Enabled) => Ok(Some(true)),
        Some(AvailabilityZoneRebalancing::Disabled) => Ok(Some(false)),
        Some(AvailabilityZoneRebalancing::Unrecognized(_)) => {
            Err(invalid("availabilityZoneRebalancing must be ENABLED or DISABLED."))
        }
    }
}

/// Constraints as they are described.
pub(crate) fn constraints(constraints: &[PlacementConstraint]) -> Vec<WireConstraint> {
    constraints
        .iter()
        .map(|constraint| match constraint {
            PlacementConstraint::DistinctInstance => WireConstraint {
                r#type: Some(PlacementConstraintType::DistinctInstance),
                ..WireConstraint::default()
            },
            PlacementConstraint::MemberOf(expression) => WireConstraint {
                r#type: Some(PlacementConstraintType::MemberOf),
                expression: Some(expression.text().to_owned()),
            },
        })
        .collect()
}

/// Strategies as they are described.
pub(crate) fn strategies(strategies: &[PlacementStrategy]) -> Vec<WireStrategy> {
    strategies
        .iter()
        .map(|strategy| {
            let (kind, field) = match strategy {
                PlacementStrategy::Random => (PlacementStrategyType::Random, None),
                PlacementStrategy::BinpackCpu => {
                    (PlacementStrategyType::Binpack, Some("CPU".to_owned()))
                }
                PlacementStrategy::BinpackMemory => {
                    (PlacementStrategyType::Binpack, Some("MEMORY".to_owned()))
                }
                PlacementStrategy::Spread(SpreadField::Instance) => {
                    (PlacementStrategyType::Spread, Some("instanceId".to_owned()))
                }
                PlacementStrategy::Spread(SpreadField::Attribute(name)) => {
                    (PlacementStrategyType::Spread, Some(format!("attribute:{name}")))
                }
            };
            WireStrategy { r#type: Some(kind), field }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(kind: &str, field: Option<&str>) -> WireStrategy {
        WireStrategy { r#type: Some(kind.into()), field: field.map(str::to_owned) }
    }

    #[test]
    fn strategies_are_read_back() {
        let all = vec![
            wire("random", None),
            wire("binpack", Some("cpu")),
            wire("binpack", Some("MEMORY")),
            wire("spread", Some("host")),
        ];
        let read = read_strategy(Some(&all)).unwrap();
        assert_eq!(read_strategy(Some(&strategies(&read))).unwrap(), read);
        let zone = vec![wire("spread", Some("attribute:ecs.availability-zone"))];
        assert_eq!(strategies(&read_strategy(Some(&zone)).unwrap()), zone);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for bad in [
            wire("random", Some("cpu")),
            wire("binpack", None),
            wire("binpack", Some("disk")),
            wire("spread", None),
            wire("spread", Some("attribute:")),
            wire("nearest", None),
            WireStrategy::default(),
        ] {
            assert!(read_strategy(Some(&vec![bad.clone()])).is_err(), "{bad:?}");
        }
        assert!(read_strategy(Some(&vec![wire("random", None); 6])).is_err());
        assert!(read_constraints(Some(&vec![WireConstraint::default()])).is_err());
        let distinct = WireConstraint {
            r#type: Some(PlacementConstraintType::DistinctInstance),
            expression: Some(String::new()),
        };
        let error = read_constraints(Some(&vec![distinct])).unwrap_err();
        assert_eq!(error.message, "distinctInstance expression should not be specified.");
    }

    #[test]
    fn expressions_are_read_and_shown_as_they_were_written() {
        let wire = |expression: Option<&str>| WireConstraint {
            r#type: Some(PlacementConstraintType::MemberOf),
            expression: expression.map(str::to_owned),
        };
        let given = vec![wire(Some("attribute:stack==prod"))];
        assert_eq!(constraints(&read_constraints(Some(&given)).unwrap()), given);
        for (bad, why) in [
            (None, "memberOf expression should be specified."),
            (Some(" "), "memberOf expression should be specified."),
            (Some("attribute:stack"), "at character 16: expected an operator"),
        ] {
            let error = read_constraints(Some(&vec![wire(bad)])).unwrap_err();
            assert_eq!(error.code, "InvalidParameterException");
            assert!(error.message.contains(why), "{error}");
        }
        assert!(read_constraints(Some(&vec![given[0].clone(); 11])).is_err());
    }
}
