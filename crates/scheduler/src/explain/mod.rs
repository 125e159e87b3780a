//! Why something is not as it should be, for whoever asks: a verdict, the reasons for it, what stands
//! in the way on each kind of instance, and what can be done. Read from the same state and by the same
//! plan that act; nothing here decides.

mod advice;
mod service;
mod task;

use model::InstanceId;

use crate::{Failure, Shortfall, words};

pub use service::service;
pub use task::task;

/// How something stands, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// In one sentence.
    pub verdict: String,
    /// Whether it is as it should be.
    pub settled: bool,
    /// What the verdict rests upon, the weightiest first.
    pub reasons: Vec<String>,
    /// Why no instance takes what is wanted, if that is so: by what instances lack.
    pub obstacles: Vec<Obstacle>,
    /// What can be done.
    pub advice: Vec<String>,
    /// What happened last, newest first.
    pub history: Vec<String>,
}

/// What a class of instances lacks.
#[derive(Clone, Debug, PartialEq)]
pub struct Obstacle {
    /// As `failures[]` would name it.
    pub reason: String,
    /// So many instances lack it.
    pub instances: u32,
    /// The one of them that came nearest.
    pub nearest: Option<InstanceId>,
    /// What it lacks, and by how much.
    pub text: String,
}

/// What stands in the way, by what is lacking: the most frequent first.
fn obstacles(failure: &Failure) -> Vec<Obstacle> {
    let obstacle = |shortfall: &Shortfall| Obstacle {
        reason: words::lack_reason(&shortfall.lack).to_owned(),
        instances: shortfall.instances,
        nearest: Some(shortfall.nearest.clone()),
        text: format!("{} {}", shortfall.nearest, words::lack(&shortfall.lack)),
    };
    failure.shortfalls.iter().map(obstacle).collect()
}
