//! What is read is shown as it came, and what cannot be is refused by name.

use super::*;

fn hook(url: &str) -> DeploymentLifecycleHook {
    DeploymentLifecycleHook {
        hook_target_arn: Some(url.to_owned()),
        lifecycle_stages: Some(vec![DeploymentLifecycleHookStage::PostScaleUp]),
        ..DeploymentLifecycleHook::default()
    }
}

#[test]
fn what_is_read_is_shown_as_it_came() {
    let given = DeploymentConfiguration {
        strategy: Some(DeploymentStrategy::Canary),
        canary_configuration: Some(CanaryConfiguration {
            canary_percent: Some(5.5),
            canary_bake_time_in_minutes: Some(3),
        }),
        bake_time_in_minutes: Some(0),
        lifecycle_hooks: Some(vec![DeploymentLifecycleHook {
            target_type: Some(DeploymentLifecycleHookTargetType::AwsLambda),
            timeout_configuration: Some(DeploymentLifecycleHookTimeoutConfiguration {
                timeout_in_minutes: Some(10),
                action: Some(DeploymentLifecycleHookAction::Continue),
            }),
            ..hook("http://127.0.0.1:9/x")
        }]),
        alarms: Some(DeploymentAlarms {
            alarm_names: Some(vec!["a".to_owned()]),
            enable: Some(true),
            rollback: Some(true),
        }),
        ..DeploymentConfiguration::default()
    };
    let method = read(&RolloutMethod::default(), Some(&given)).unwrap().unwrap();
    let mut shown = DeploymentConfiguration::default();
    show(&method, &mut shown);
    assert_eq!(shown, given);
    // What is not said stays.
    let same = read(&method, Some(&DeploymentConfiguration::default())).unwrap();
    assert_eq!(same, Some(method.clone()));
    assert_eq!(read(&method, None).unwrap(), None);
    // The way back to rolling updates takes hooks and bake time along.
    let strategy = Some(DeploymentStrategy::Rolling);
    let rolling = DeploymentConfiguration { strategy, ..DeploymentConfiguration::default() };
    let back = read(&method, Some(&rolling)).unwrap().unwrap();
    assert!(back.hooks.is_empty() && back.bake.is_none() && back.alarms.is_some());
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let config = DeploymentConfiguration::default;
    let hooked = |hook| DeploymentConfiguration {
        strategy: Some(DeploymentStrategy::BlueGreen),
        lifecycle_hooks: Some(vec![hook]),
        ..config()
    };
    let linear = |percent| DeploymentConfiguration {
        strategy: Some(DeploymentStrategy::Linear),
        linear_configuration: Some(LinearConfiguration {
            step_percent: Some(percent),
            step_bake_time_in_minutes: None,
        }),
        ..config()
    };
    for (given, says) in [
        (hooked(hook("arn:aws:lambda:x:1:function:f")), "there are no Lambda functions"),
        (hooked(hook("ftp://x")), "is not an http:// or https:// URL"),
        (hooked(hook("")), "is not an http:// or https:// URL"),
        (
            hooked(DeploymentLifecycleHook { lifecycle_stages: None, ..hook("http://x") }),
            "names no stage",
        ),
        (
            hooked(DeploymentLifecycleHook {
                target_type: Some(DeploymentLifecycleHookTargetType::Pause),
                ..hook("http://x")
            }),
            "hookTargetArn: a PAUSE hook has none",
        ),
        (linear(2.9), "stepPercent: 2.9 is no multiple of 0.1 from 3.0"),
        (linear(10.05), "no multiple"),
        (linear(100.1), "no multiple"),
        (
            DeploymentConfiguration { strategy: None, ..linear(10.0) },
            "only for the strategy LINEAR",
        ),
        (
            DeploymentConfiguration { bake_time_in_minutes: Some(1441), ..config() },
            "bakeTimeInMinutes: it must be between 0 and 1440",
        ),
        (
            DeploymentConfiguration {
                alarms: Some(DeploymentAlarms {
                    enable: Some(true),
                    ..DeploymentAlarms::default()
                }),
                ..config()
            },
            "names no alarm",
        ),
    ] {
        let error = read(&RolloutMethod::default(), Some(&given)).unwrap_err();
        assert_eq!(error.code, "InvalidParameterException");
        assert!(error.message.contains(says), "{error}");
    }
}
