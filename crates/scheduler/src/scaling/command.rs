//! What may be asked of scaling, why it is refused, and in what words.
//!
//! Schedules and steps come understood and in order: the door reads them with [`super::parse_schedule`]
//! and [`super::check_steps`].

use model::{
    NotScaled, PolicyKind, ScalingPolicyKey, Schedule, ScheduledActionKey, ServiceKey, Tags,
};
use stdx::Timestamp;

/// A command of Application Auto Scaling.
#[derive(Clone, Debug, PartialEq)]
pub enum ScalingCommand {
    // --- users ---
    /// RegisterScalableTarget, the first time or again.
    Register(TargetBounds),
    /// DeregisterScalableTarget: its policies and scheduled actions go with it.
    Deregister(ServiceKey),
    /// PutScalingPolicy.
    PutPolicy(NewPolicy),
    /// DeleteScalingPolicy.
    DeletePolicy(ScalingPolicyKey),
    /// PutScheduledAction.
    PutAction(NewAction),
    /// DeleteScheduledAction.
    DeleteAction(ScheduledActionKey),
    /// TagResource: these win over those of the same key.
    Tag(ServiceKey, Tags),
    /// UntagResource.
    Untag(ServiceKey, Vec<String>),

    // --- loops ---
    /// A target tracking policy moves the desired count.
    Scale(Scale),
    /// A target tracking policy would, and may not.
    NotScale(NotScale),
    /// An alarm tells a step policy to act.
    AlarmFired(AlarmFired),
    /// A scheduled action is due.
    RunAction(ScheduledActionKey),
    /// The service has become what an activity set, or will not.
    Settle(ServiceKey),
}

/// RegisterScalableTarget: what is absent stays as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetBounds {
    /// Whose desired count.
    pub service: ServiceKey,
    /// The fewest tasks.
    pub min: Option<u32>,
    /// The most tasks.
    pub max: Option<u32>,
    /// Whether policies are kept from scaling in.
    pub suspend_in: Option<bool>,
    /// Whether policies are kept from scaling out.
    pub suspend_out: Option<bool>,
    /// Whether scheduled actions are kept from running.
    pub suspend_scheduled: Option<bool>,
    /// Tags, only of a new target.
    pub tags: Option<Tags>,
}

/// PutScalingPolicy.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPolicy {
    /// Where it will be found.
    pub key: ScalingPolicyKey,
    /// What it does. The ids of alarms are drawn by the decision.
    pub kind: PolicyKind,
}

/// PutScheduledAction: what is absent stays as it is, but start and end, which go.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAction {
    /// Where it will be found.
    pub key: ScheduledActionKey,
    /// When: the expression, its time zone, and both understood.
    pub schedule: Option<(String, Option<String>, Schedule)>,
    /// Not before.
    pub starts: Option<Timestamp>,
    /// Not after.
    pub ends: Option<Timestamp>,
    /// The fewest and the most tasks from then on; at least one of them.
    pub bounds: Option<(Option<u32>, Option<u32>)>,
}

/// A target tracking policy moves the desired count. What it relied on is checked again.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// The policy that asks for most.
    pub policy: ScalingPolicyKey,
    /// The desired count that it saw.
    pub from: u32,
    /// The desired count that it wants.
    pub to: u32,
    /// What it saw, as a sentence.
    pub saw: String,
}

/// A target tracking policy would move the desired count, and may not.
#[derive(Clone, Debug, PartialEq)]
pub struct NotScale {
    /// Which.
    pub policy: ScalingPolicyKey,
    /// Whether it would scale out.
    pub out: bool,
    /// Why not.
    pub why: NotScaled,
    /// What it saw, as a sentence.
    pub saw: String,
}

/// An alarm tells a step policy to act.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmFired {
    /// Which.
    pub policy: ScalingPolicyKey,
    /// The alarm's name.
    pub alarm: String,
    /// What the alarm saw, put together as the policy says; none if its data were missing.
    pub value: Option<f64>,
    /// The alarm's threshold.
    pub threshold: f64,
}

/// Why a command of scaling is refused. `Display` is AWS's sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScalingRejection {
    /// No such scalable target.
    #[error(
        "No scalable target registered for service namespace: ecs, resource ID: service/{0}, \
         scalable dimension: ecs:service:DesiredCount"
    )]
    NoTarget(ServiceKey),
    /// No such policy.
    #[error(
        "No scaling policy found for service namespace: ecs, resource ID: service/{service}, \
         scalable dimension: ecs:service:DesiredCount: {name}",
        service = .0.service, name = .0.name
    )]
    NoPolicy(ScalingPolicyKey),
    /// No such scheduled action.
    #[error(
        "No scheduled action found for service namespace: ecs, resource ID: service/{service}, \
         scalable dimension: ecs:service:DesiredCount, scheduled action name: {name}",
        service = .0.service, name = .0.name
    )]
    NoAction(ScheduledActionKey),
    /// No such service, or it is being deleted.
    #[error("ECS service doesn't exist: service/{0}")]
    NoService(ServiceKey),
    /// The lower bound would be above the upper one.
    #[error(
        "Maximum capacity cannot be less than minimum capacity: the minimum would be {min} and the \
         maximum {max}."
    )]
    Bounds {
        /// The lower one.
        min: u32,
        /// The upper one.
        max: u32,
    },
    /// A value that AWS refuses: the sentence.
    #[error("{0}")]
    Invalid(String),
    /// A quota: the sentence.
    #[error("{0}")]
    Limit(String),
    /// Too many tags.
    #[error("A scalable target can have at most {most} tags.", most = Tags::MOST)]
    TooManyTags,
    /// What a step policy was told to do does not happen: the sentence.
    #[error("{0}")]
    NotDone(String),
}

/// The most policies of a scalable target, a quota of AWS.
pub(crate) const MOST_POLICIES: usize = 50;
/// The most scheduled actions of a scalable target, a quota of AWS.
pub(crate) const MOST_ACTIONS: usize = 200;
