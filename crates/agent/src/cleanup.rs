//! Images that no task needs any more: which to remove, and when.
//!
//! As the ECS agent does it: each half hour at most five images that no task of this node has and
//! that were pulled an hour ago or longer go, the least recently used first; images that other
//! people pulled stay unless they are to go too. Beside that, when the disk is nearly full: then age
//! and number do not count, until there is room.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use runtime::{RuntimeError, StoredImage};
use shell::Shutdown;
use stdx::{Timestamp, chain};

use crate::record::Recorder;
use crate::task::{Fetch, Status, TaskView};
use crate::worker::Context;

/// The record of the images that tasks of this node have had.
const TRACKED_FILE: &str = "images.json";
/// So often is looked at how full the disk is.
const DISK_LOOK: Duration = Duration::from_secs(60);

/// What goes, and when. The defaults are the ECS agent's.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-agent-config.html>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleanUp {
    /// Nothing is removed (`ECS_DISABLE_IMAGE_CLEANUP`).
    pub disabled: bool,
    /// Between two looks (`ECS_IMAGE_CLEANUP_INTERVAL`).
    pub interval: Duration,
    /// Images stay for so long after they were pulled (`ECS_IMAGE_MINIMUM_CLEANUP_AGE`).
    pub minimum_age: Duration,
    /// The same for images that no task has had (`NON_ECS_IMAGE_MINIMUM_CLEANUP_AGE`).
    pub untracked_minimum_age: Duration,
    /// At most so many go at one look (`ECS_NUM_IMAGES_DELETE_PER_CYCLE`).
    pub per_cycle: usize,
    /// Whether images go that no task has had (`ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP`).
    pub untracked: bool,
    /// Names of images that stay (`ECS_EXCLUDE_UNTRACKED_IMAGE`).
    pub excluded: Vec<String>,
    /// The disk is nearly full when less than this share of it is free, in percent; 0 for never.
    pub least_free_percent: u8,
}

impl Default for CleanUp {
    fn default() -> Self {
        Self {
            disabled: false,
            interval: Duration::from_secs(30 * 60),
            minimum_age: Duration::from_secs(60 * 60),
            untracked_minimum_age: Duration::from_secs(60 * 60),
            per_cycle: 5,
            untracked: false,
            excluded: Vec::new(),
            least_free_percent: 5,
        }
    }
}

/// The file system that holds images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that are free.
    pub free: u64,
}

/// What is known of the images' use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// Images of tasks that have not stopped: never removed.
    pub running: BTreeSet<String>,
    /// Images of stopped tasks that are still remembered.
    pub remembered: BTreeSet<String>,
    /// Images that a task of this node has had.
    pub tracked: BTreeSet<String>,
}

impl CleanUp {
    /// How many bytes there are too few on the disk.
    fn lacking(&self, disk: Option<Disk>) -> u64 {
        let Some(disk) = disk else { return 0 };
        (disk.total / 100 * u64::from(self.least_free_percent)).saturating_sub(disk.free)
    }

    /// The ids of the images that go now, in order. `due` says that a regular look is due; a look
    /// between two of them is only for a disk that is nearly full.
    pub fn choose(
        &self,
        images: &[StoredImage],
        uses: &Uses,
        disk: Option<Disk>,
        due: bool,
        now: Timestamp,
    ) -> Vec<String> {
        if self.disabled {
            return Vec::new();
        }
        let lacking = self.lacking(disk);
        let mut candidates: Vec<&StoredImage> = images
            .iter()
            .filter(|image| !image.in_use && !uses.running.contains(&image.id))
            .filter(|image| self.untracked || uses.tracked.contains(&image.id))
            .filter(|image| !image.references.iter().any(|name| self.excluded.contains(name)))
            .collect();
        // What tasks have had goes first; of that what was used longest ago.
        candidates.sort_by_key(|image| (!uses.tracked.contains(&image.id), image.used_at));
        let (mut gone, mut freed) = (Vec::new(), 0_u64);
        for image in candidates {
            let tracked = uses.tracked.contains(&image.id);
            let age = if tracked { self.minimum_age } else { self.untracked_minimum_age };
            let old = now.since(image.pulled_at) >= age && !uses.remembered.contains(&image.id);
            if (due && old && gone.len() < self.per_cycle) || freed < lacking {
                freed = freed.saturating_add(image.bytes);
                gone.push(image.id.clone());
            }
        }
        gone
    }
}

/// The images that tasks of this node have had. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Tracked {
    ids: Arc<Mutex<BTreeSet<String>>>,
    recorder: Recorder,
}

impl Tracked {
    pub(crate) fn open(recorder: Recorder) -> Self {
        let ids: BTreeSet<String> = recorder.read(TRACKED_FILE).unwrap_or_default();
        Self { ids: Arc::new(Mutex::new(ids)), recorder }
    }

    /// Notes that a task has an image.
    pub(crate) fn note(&self, id: &str) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if !ids.contains(id) {
            ids.insert(id.to_owned());
            self.recorder.write(TRACKED_FILE, &*ids);
        }
    }

    fn forget(&self, id: &str) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.remove(id) {
            self.recorder.write(TRACKED_FILE, &*ids);
        }
    }

    fn uses(&self, tasks: &[TaskView]) -> Uses {
        let tracked = self.ids.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut uses = Uses { tracked, ..Uses::default() };
        for view in tasks {
            let stopped = view.state.status == Status::Stopped;
            for container in &view.state.containers {
                if let Fetch::Present(image) = &container.image {
                    let of = if stopped { &mut uses.remembered } else { &mut uses.running };
                    of.insert(image.id.clone());
                }
            }
        }
        uses
    }
}

/// Removes images until the agent goes down.
pub(crate) async fn keep(
    settings: CleanUp,
    folder: PathBuf,
    context: Arc<Context>,
    mut shutdown: Shutdown,
) {
    if settings.disabled {
        return;
    }
    let mut next = context.clock.now() + settings.interval;
    loop {
        tokio::select! {
            () = tokio::time::sleep(DISK_LOOK.min(settings.interval)) => {}
            () = shutdown.wait() => return,
        }
        let now = context.clock.now();
        let due = now >= next;
        let disk = disk(&folder);
        if due {
            next = now + settings.interval;
        } else if settings.lacking(disk) == 0 {
            continue;
        }
        if !look(&settings, disk, due, &context).await {
            return;
        }
    }
}

/// Looks once; whether it is worth to look again.
async fn look(settings: &CleanUp, disk: Option<Disk>, due: bool, context: &Context) -> bool {
    let images = match context.runtime.images().await {
        Ok(images) => images,
        Err(RuntimeError::Unsupported { .. }) => return false,
        Err(error) => {
            let error = chain(&error);
            tracing::warn!(error, "Images on this node could not be listed.");
            return true;
        }
    };
    let uses = context.tracked.uses(&context.board.all());
    for id in settings.choose(&images, &uses, disk, due, context.clock.now()) {
        match context.runtime.remove_image(&id).await {
            Ok(()) => {
                tracing::info!(image = id, "An image that nobody has used is removed.");
                context.tracked.forget(&id);
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(image = id, error, "An image could not be removed.");
            }
        }
    }
    true
}

fn disk(folder: &std::path::Path) -> Option<Disk> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(Disk {
        total: found.f_blocks.saturating_mul(found.f_frsize),
        free: found.f_bavail.saturating_mul(found.f_frsize),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + millis)
    }

    fn image(id: &str, pulled: i64, used: i64) -> StoredImage {
        StoredImage {
            id: id.to_owned(),
            references: vec![format!("{id}:latest")],
            bytes: 10,
            pulled_at: at(pulled),
            used_at: at(used),
            in_use: false,
        }
    }

    fn set(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn tracked(ids: &[&str]) -> Uses {
        Uses { tracked: set(ids), ..Uses::default() }
    }

    #[test]
    fn the_oldest_unused_images_of_tasks_go() {
        let images: Vec<StoredImage> = (0..8)
            .map(|n| image(&format!("i{n}"), 0, 8 - n))
            .chain([image("new", HOUR, 0)])
            .collect();
        let mut uses = tracked(&["i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7", "new"]);
        uses.running = set(&["i7"]);
        uses.remembered = set(&["i6"]);
        let choose = |settings: &CleanUp, due, now| settings.choose(&images, &uses, None, due, now);
        let settings = CleanUp::default();
        assert_eq!(choose(&settings, true, at(HOUR)), ["i5", "i4", "i3", "i2", "i1"]);
        assert!(choose(&settings, false, at(HOUR)).is_empty());
        assert!(choose(&settings, true, at(HOUR - 1)).is_empty());
        let disabled = CleanUp { disabled: true, ..CleanUp::default() };
        assert!(choose(&disabled, true, at(HOUR)).is_empty());
    }

    #[test]
    fn images_of_others_stay_unless_they_are_to_go() {
        let images = [image("mine", 0, 5), image("theirs", 0, 1), image("kept", 0, 0)];
        let uses = tracked(&["mine"]);
        let settings = CleanUp::default();
        assert_eq!(settings.choose(&images, &uses, None, true, at(HOUR)), ["mine"]);
        let all = CleanUp {
            untracked: true,
            excluded: vec!["kept:latest".to_owned()],
            ..CleanUp::default()
        };
        assert_eq!(all.choose(&images, &uses, None, true, at(HOUR)), ["mine", "theirs"]);
    }

    #[test]
    fn a_full_disk_waits_for_nobody_but_running_tasks() {
        let mut images: Vec<StoredImage> =
            ["a", "b", "c", "d"].iter().zip(0..).map(|(id, n)| image(id, 0, n)).collect();
        images[0].in_use = true;
        let mut uses = tracked(&["a", "b", "c", "d"]);
        uses.running = set(&["b"]);
        uses.remembered = set(&["c"]);
        let settings = CleanUp::default();
        let full = Some(Disk { total: 1000, free: 45 });
        assert_eq!(settings.choose(&images, &uses, full, false, at(1)), ["c"]);
        let fuller = Some(Disk { total: 1000, free: 0 });
        assert_eq!(settings.choose(&images, &uses, fuller, false, at(1)), ["c", "d"]);
        let never = CleanUp { least_free_percent: 0, ..CleanUp::default() };
        assert!(never.choose(&images, &uses, fuller, false, at(1)).is_empty());
    }
}
