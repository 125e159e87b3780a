//! Every structure of every service: what the schema allows, the types hold.

use super::sample::{Chance, damage, valid};
use crate::check::check;
use crate::codec::Trip;
use crate::schema::{Kind, Shape};
use crate::{SERVICES, r#gen};

fn every_structure() -> impl Iterator<Item = (&'static str, &'static Shape, Trip)> {
    [
        r#gen::acm::TRIPS,
        r#gen::application_autoscaling::TRIPS,
        r#gen::autoscaling::TRIPS,
        r#gen::cloudwatch::TRIPS,
        r#gen::ec2::TRIPS,
        r#gen::ecr::TRIPS,
        r#gen::ecs::TRIPS,
        r#gen::elbv2::TRIPS,
        r#gen::events::TRIPS,
        r#gen::iam::TRIPS,
        r#gen::logs::TRIPS,
        r#gen::secretsmanager::TRIPS,
        r#gen::ssm::TRIPS,
        r#gen::wharf::TRIPS,
        r#gen::sts::TRIPS,
    ]
    .into_iter()
    .flatten()
    .map(|(shape, trip)| match shape.kind {
        Kind::Structure { name, .. } => (name, *shape, *trip),
        _ => panic!("only structures have types of their own"),
    })
}

#[test]
fn valid_values_survive_the_trip_through_their_types() {
    let mut chance = Chance::seeded(1);
    for (name, shape, trip) in every_structure() {
        for _ in 0..8 {
            let value = valid(shape, &mut chance);
            let mut checked = value.clone();
            assert_eq!(check(shape, &mut checked, false), Ok(Vec::new()), "{name}: {value}");
            assert_eq!(trip(checked).unwrap(), value, "{name}");
        }
    }
}

#[test]
fn whatever_passes_the_check_fits_the_type() {
    let mut chance = Chance::seeded(2);
    let (mut passed, mut refused) = (0, 0);
    for (name, shape, trip) in every_structure() {
        for _ in 0..40 {
            let mut value = valid(shape, &mut chance);
            damage(&mut value, &mut chance);
            for lenient in [true, false] {
                let mut checked = value.clone();
                match check(shape, &mut checked, lenient) {
                    Ok(_) => {
                        passed += 1;
                        trip(checked).unwrap_or_else(|error| panic!("{name}: {error} in {value}"));
                    }
                    Err(mismatch) => {
                        refused += 1;
                        assert!(!mismatch.to_string().is_empty());
                    }
                }
            }
        }
    }
    assert!(passed > 1000 && refused > 1000, "{passed} passed, {refused} refused");
}

#[test]
fn newer_members_are_dropped() {
    let mut chance = Chance::seeded(3);
    for (name, shape, trip) in every_structure() {
        let value = valid(shape, &mut chance);
        let mut newer = value.clone();
        newer["memberOfTomorrow"] = serde_json::json!({"deep": [1]});
        assert_eq!(check(shape, &mut newer, false), Ok(Vec::new()), "{name}");
        assert_eq!(trip(newer).unwrap(), value, "{name}");
    }
}

fn walk(shape: &'static Shape, see: &mut impl FnMut(&'static Shape), depth: usize) {
    if depth > 30 {
        return;
    }
    see(shape);
    match &shape.kind {
        Kind::Structure { members, .. } => {
            members.iter().for_each(|m| walk(m.shape, see, depth + 1))
        }
        Kind::List(of) => walk(of, see, depth + 1),
        Kind::Map { key, value } => {
            walk(key, see, depth + 1);
            walk(value, see, depth + 1);
        }
        _ => {}
    }
}

#[test]
fn every_pattern_compiles() {
    let mut patterns = 0;
    for (_, shape, _) in every_structure() {
        walk(
            shape,
            &mut |shape| {
                if let Some(pattern) = shape.pattern {
                    patterns += 1;
                    assert!(pattern.compiles(), "{}", pattern.source());
                }
            },
            0,
        );
    }
    assert!(patterns > 100, "{patterns}");
}

#[test]
fn the_services_are_whole() {
    let counts: Vec<(&str, usize, usize)> = SERVICES
        .iter()
        .map(|service| {
            let built =
                service.operations.iter().filter(|operation| operation.shapes.is_some()).count();
            (service.name, service.operations.len(), built)
        })
        .collect();
    assert_eq!(
        counts,
        [
            ("acm", 40, 9),
            ("application-autoscaling", 14, 13),
            ("autoscaling", 68, 38),
            ("cloudwatch", 59, 15),
            ("ec2", 830, 18),
            ("ecr", 62, 13),
            ("ecs", 88, 88),
            ("elbv2", 51, 36),
            ("events", 57, 25),
            ("iam", 180, 27),
            ("logs", 118, 14),
            ("secretsmanager", 26, 14),
            ("ssm", 154, 16),
            ("sts", 11, 2),
            ("wharf", 3, 3)
        ]
    );
    for operation in crate::ecs::Operation::ALL {
        assert_eq!(crate::ecs::Operation::from_name(operation.name()), Some(*operation));
        assert_eq!(operation.facts().name, operation.name());
    }
    assert_eq!(crate::ecs::Operation::from_name("runTask"), None);
    assert_eq!(crate::ecs::ErrorKind::from_code("ServerException").unwrap().http_status(), 500);
    assert_eq!(crate::ecs::ErrorKind::ClusterNotFoundException.http_status(), 400);
    assert_eq!(
        crate::sts::ErrorKind::IDPRejectedClaimException.with("no").code,
        "IDPRejectedClaim"
    );
}
