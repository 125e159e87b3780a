//! Which cases are run, and how: each in a process of its own, a few side by side, since most of what
//! they do is wait. What fails is tried once more, alone: a busy machine may disturb a case once.

use std::collections::VecDeque;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::docker::Docker;
use crate::probe_image::FolderImages;
use crate::support::{Case, On, Target, block_on, fake, on_embedded, targets};

/// Tells a process of this program the one case that it is to run.
pub(crate) const ONE: &str = "WHARF_SUITE_CASE";
/// Tells it where the probe's image is.
const DIR: &str = "WHARF_SUITE_DIR";
/// Tells it how containers on Docker Engine are to be marked; absent where there is no Engine.
const TAG: &str = "WHARF_SUITE_TAG";
/// How many cases run side by side, instead of two for each processor.
const LANES: &str = "WHARF_SUITE_LANES";

/// No case takes so long: its process is ended, with whatever hangs in it.
const LONGEST: Duration = Duration::from_secs(420);
/// If more cases fail than this, the machine is not to blame.
const MOST_TRIED_AGAIN: usize = 12;

/// A case on one set-up.
struct Attempt {
    name: String,
    case: Case,
    on: Place,
}

enum Place {
    Fake,
    Docker,
    Embedded(Target),
}

impl Attempt {
    fn new(setup: &str, case: Case, on: Place) -> Self {
        Self { name: format!("{setup}::{}", case.0), case, on }
    }
}

/// Every case on every set-up that it is for.
fn attempts(embedded: bool, docker: bool, engines: &[&'static str]) -> Vec<Attempt> {
    let mut cases: Vec<Case> = crate::cases::all();
    cases.extend(crate::programs::all());
    cases.extend(crate::lifecycle::all());
    cases.extend(crate::hostile::all());
    cases.extend(crate::differential::all());
    cases.extend(crate::sharing::all());
    cases.extend(crate::sessions::all());
    cases.extend(crate::confinement::all());
    cases.extend(crate::oci::all());
    cases.extend(crate::user_namespaces::all());
    let mut all = Vec::new();
    for case in cases {
        let (name, on, _) = case;
        if on == On::Every {
            all.push(Attempt::new("fake", case, Place::Fake));
        }
        if docker && matches!(on, On::Every | On::Real) {
            all.push(Attempt::new("docker", case, Place::Docker));
        }
        for target in targets(on, name, engines).into_iter().filter(|_| embedded) {
            let mut one = Attempt::new(target.name, case, Place::Embedded(target.clone()));
            one.name += &format!(" with {} slots", target.warm_slots);
            all.push(one);
        }
    }
    all
}

/// Runs the one case in this process; the exit code.
///
/// # Panics
/// As the case does.
pub(crate) fn one(name: &str) -> i32 {
    std::thread::spawn(|| {
        std::thread::sleep(LONGEST);
        eprintln!("the case hangs");
        std::process::exit(101);
    });
    let dir = PathBuf::from(std::env::var_os(DIR).expect("whoever names a case names a folder"));
    let tag = std::env::var(TAG).ok();
    let all = attempts(true, tag.is_some(), &crate::oci::ENGINES);
    let Some(attempt) = all.into_iter().find(|attempt| attempt.name == name) else {
        eprintln!("there is no case {name}");
        return 2;
    };
    let home = home(&dir, name);
    let case = attempt.case.2;
    let work: Pin<Box<dyn Future<Output = ()>>> = match attempt.on {
        Place::Fake => Box::pin(async move { drop(case(fake(&dir)).await) }),
        Place::Docker => Box::pin(Docker::run(tag.unwrap_or_default(), home, case)),
        Place::Embedded(target) => {
            let images = Arc::new(FolderImages::at(&dir));
            Box::pin(on_embedded(home, images, target, case))
        }
    };
    block_on(work);
    0
}

/// A case's folder. Its parent has the image's layers.
fn home(dir: &Path, name: &str) -> PathBuf {
    dir.join(name.replace("::", "-").replace(' ', "-"))
}

/// How an attempt ended.
struct Done {
    name: String,
    well: bool,
    took: Duration,
    said: String,
}

/// What all attempts have in common.
struct Around {
    dir: PathBuf,
    tag: Option<String>,
}

impl Around {
    /// Runs an attempt in a process of its own.
    fn attempt(&self, attempt: &Attempt) -> Done {
        let began = Instant::now();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(ONE, &attempt.name).env(DIR, &self.dir).stdin(Stdio::null());
        if let Some(tag) = &self.tag {
            command.env(TAG, tag);
        }
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let group = format!("/wharf-suite-{}", child.id());
        let output = child.wait_with_output().unwrap();
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        said += &String::from_utf8_lossy(&output.stderr);
        let well = output.status.success();
        if !well {
            said += &format!("{}\n", output.status);
            self.clear(attempt, &group);
        }
        Done { name: attempt.name.clone(), well, took: began.elapsed(), said }
    }

    /// Removes what a case left that did not come to its end.
    fn clear(&self, attempt: &Attempt, group: &str) {
        let home = home(&self.dir, &attempt.name);
        if let Place::Embedded(_) = attempt.on {
            std::fs::remove_file(home.join("run/lock")).unwrap_or_default();
            if let Err(error) = runtime::teardown(&home.join("run"), group) {
                println!("{} leaves something: {}", attempt.name, stdx::chain(&error));
            }
        }
        std::fs::remove_dir_all(home).unwrap_or_default();
    }

    /// Runs all in order, so many side by side.
    fn all(&self, attempts: &[Attempt], lanes: usize) -> Vec<Done> {
        let waiting: Mutex<VecDeque<&Attempt>> = Mutex::new(attempts.iter().collect());
        let done = Mutex::new(Vec::new());
        let lane = || {
            loop {
                // Taken in a statement of its own, so that others can take theirs meanwhile.
                let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some(attempt) = next else { return };
                let ended = self.attempt(attempt);
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                tell(&ended);
                done.push(ended);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..lanes {
                scope.spawn(lane);
            }
        });
        done.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(done: &Done) {
    let end = if done.well { "" } else { " FAILED" };
    println!("{}{end} ({:.1} s)", done.name, done.took.as_secs_f32());
    for line in done.said.lines() {
        println!("  {line}");
    }
}

fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs the cases whose names contain one of the words; the exit code.
pub(crate) fn run(filters: &[String]) -> i32 {
    let embedded = root();
    if !embedded {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "the suite of the embedded engine needs root: run CI's tests as root"
        );
        println!("not root: only the cases of the fake are run");
    }
    let dir = tempfile::tempdir().unwrap();
    let docker = Docker::find(&FolderImages::make(dir.path()));
    let mut chosen = attempts(embedded, docker.is_some(), &crate::oci::engines());
    chosen.retain(|attempt| filters.is_empty() || filters.iter().any(|f| attempt.name.contains(f)));
    // The Engine's cases look at all that is on it: one after the other, beside all the rest.
    let (on_docker, others): (Vec<Attempt>, Vec<Attempt>) =
        chosen.into_iter().partition(|attempt| matches!(attempt.on, Place::Docker));
    let around = Around {
        dir: dir.path().to_owned(),
        tag: docker.as_ref().map(|docker| docker.tag().to_owned()),
    };
    let done = std::thread::scope(|scope| {
        let beside = scope.spawn(|| around.all(&on_docker, 1));
        let mut done = around.all(&others, lanes());
        done.extend(beside.join().unwrap());
        done
    });
    let mut failed: Vec<String> =
        done.iter().filter(|done| !done.well).map(|done| done.name.clone()).collect();
    if failed.len() <= MOST_TRIED_AGAIN {
        let again = on_docker.iter().chain(&others).filter(|a| failed.contains(&a.name));
        let disturbed: Vec<String> = again
            .map(|attempt| around.attempt(attempt))
            .inspect(tell)
            .filter(|done| done.well)
            .map(|done| done.name)
            .collect();
        if !disturbed.is_empty() {
            println!("tried once more, alone, and well then: {}", disturbed.join(", "));
        }
        failed.retain(|name| !disturbed.contains(name));
    }
    drop(docker);
    println!("{} cases, {} failed: {}", done.len(), failed.len(), failed.join(", "));
    i32::from(!failed.is_empty())
}

fn lanes() -> usize {
    let asked = std::env::var(LANES).ok().and_then(|text| text.parse().ok());
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, |n| 2 * n.get()))
}
