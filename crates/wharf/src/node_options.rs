//! What a node's life of images and tasks is set by: flags, and the variables of the ECS agent.

use std::collections::BTreeMap;
use std::time::Duration;

use agent::plan::FileSystem;
use agent::{CleanUp, PullBehavior};
use anyhow::{Context, Error, Result, bail};
use runtime::UserNamespaces;

/// Whether a node takes tasks of the launch type `FARGATE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fargate {
    /// If it can.
    Auto,
    /// It does, or does not start.
    On,
    /// It does, and takes no others: it is no container instance of a cluster.
    Only,
    /// No.
    Off,
}

/// Settings of a node, by the ECS agent's names.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Node")]
pub(crate) struct NodeOptions {
    /// When registries are asked for images: default, always, once or prefer-cached
    #[arg(
        long = "image-pull-behavior",
        value_name = "WHEN",
        env = "ECS_IMAGE_PULL_BEHAVIOR",
        default_value = "default",
        value_parser = pull_behavior
    )]
    pull: PullBehavior,
    /// Grace between SIGTERM and SIGKILL for containers that name none
    #[arg(long, value_name = "TIME", env = "ECS_CONTAINER_STOP_TIMEOUT", default_value = "30s", value_parser = duration)]
    container_stop_timeout: Duration,
    /// How long stopped tasks are remembered
    #[arg(long, value_name = "TIME", env = "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION", default_value = "3h", value_parser = duration)]
    task_cleanup_wait: Duration,
    /// Keep images that no task needs any more
    #[arg(long, env = "ECS_DISABLE_IMAGE_CLEANUP", num_args = 0..=1, default_value = "false", default_missing_value = "true", value_name = "BOOL")]
    disable_image_cleanup: bool,
    /// How often is looked for images that no task needs any more
    #[arg(long, value_name = "TIME", env = "ECS_IMAGE_CLEANUP_INTERVAL", default_value = "30m", value_parser = duration)]
    image_cleanup_interval: Duration,
    /// How long images stay after they were pulled
    #[arg(long, value_name = "TIME", env = "ECS_IMAGE_MINIMUM_CLEANUP_AGE", default_value = "1h", value_parser = duration)]
    image_minimum_cleanup_age: Duration,
    /// The same for images that no task has had
    #[arg(long, value_name = "TIME", env = "NON_ECS_IMAGE_MINIMUM_CLEANUP_AGE", default_value = "1h", value_parser = duration)]
    untracked_image_minimum_cleanup_age: Duration,
    /// How many images are removed at one look
    #[arg(long, value_name = "N", env = "ECS_NUM_IMAGES_DELETE_PER_CYCLE", default_value_t = 5)]
    images_delete_per_cycle: usize,
    /// Remove images too that no task has had
    #[arg(long, env = "ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP", num_args = 0..=1, default_value = "false", default_missing_value = "true", value_name = "BOOL")]
    untracked_image_cleanup: bool,
    /// Images that stay, by name, separated by commas
    #[arg(long, value_name = "NAMES", env = "ECS_EXCLUDE_UNTRACKED_IMAGE", value_delimiter = ',')]
    exclude_image: Vec<String>,
    /// Remove unused images, however young, while less of the disk is free; 0 for never
    #[arg(long, value_name = "PERCENT", env = "WHARF_LEAST_FREE_DISK", default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=90))]
    least_free_disk: u8,
    /// Where an EFS file system is, as an NFS server: fs-12345678=HOST[:/PATH]; may be given several times
    #[arg(long = "efs", value_name = "ID=HOST[:/PATH]", env = "WHARF_EFS", value_delimiter = ',', value_parser = file_system)]
    efs: Vec<(String, FileSystem)>,
    /// A GPU that tasks may have: ID=/dev/path[,/dev/path…], or ID=vendor/class=name for a device of
    /// /etc/cdi; may be given several times. Without any, those of NVIDIA's driver
    #[arg(long = "gpu", value_name = "ID=DEVICES", env = "WHARF_GPUS", value_delimiter = ' ', value_parser = gpu)]
    gpus: Vec<agent::gpu::Named>,
    /// Sandboxes that are kept ready in advance; more for a while after a burst of tasks. 0 for none
    #[arg(long, value_name = "N", env = "WHARF_WARM_SLOTS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(0..=256))]
    pub(crate) warm_slots: u16,
    /// Another engine for the containers, for --runtime embedded: runc, crun or a path
    #[arg(long, value_name = "PROGRAM", env = "WHARF_OCI_RUNTIME")]
    pub(crate) oci_runtime: Option<std::path::PathBuf>,
    /// A user namespace for each task, for --runtime embedded: off, on, or strict, which refuses what needs the node's own
    #[arg(long, value_name = "MODE", env = "WHARF_USERNS", default_value = "off", value_parser = ["off", "on", "strict"])]
    userns: String,
    /// The user and group ids that tasks' user namespaces are given, 65536 to a task
    #[arg(long, value_name = "BASE:SIZE", env = "WHARF_USERNS_RANGE", default_value_t = default_range(), value_parser = range)]
    userns_range: String,
    /// Take tasks of the launch type FARGATE, of every cluster, each in a user namespace of its own:
    /// auto (`wharf up`: if this machine can), on, off, or only, and then nothing else
    #[arg(long, value_name = "MODE", env = "WHARF_FARGATE", num_args = 0..=1, require_equals = true, default_missing_value = "on")]
    pub(crate) fargate: Option<Fargate>,
    /// Keep containers on bridges from this machine's instance metadata, 169.254.169.254
    #[arg(long, env = "ECS_AWSVPC_BLOCK_IMDS", num_args = 0..=1, default_value = "false", default_missing_value = "true", value_name = "BOOL")]
    pub(crate) block_instance_metadata: bool,
}

impl NodeOptions {
    /// The user namespaces that tasks are given, if they are.
    pub(crate) fn users(&self) -> Result<Option<UserNamespaces>> {
        let (base, size) = ids(&self.userns_range)?;
        let users = |strict| UserNamespaces::new(base, size, strict).map_err(Error::msg).map(Some);
        match (self.userns.as_str(), self.fargate()) {
            ("on", _) => users(false),
            ("strict", _) => users(true),
            (_, Fargate::Off) => Ok(None),
            (_, Fargate::Auto | Fargate::On | Fargate::Only) => {
                Ok(users(false)?.map(UserNamespaces::for_hardened))
            }
        }
    }

    /// Whether it takes tasks of Fargate.
    pub(crate) fn fargate(&self) -> Fargate {
        self.fargate.unwrap_or(Fargate::Off)
    }

    /// Puts the settings into the agent's configuration.
    ///
    /// # Errors
    /// A GPU that is named is not here.
    pub(crate) fn fill(&self, config: &mut agent::AgentConfig) -> Result<()> {
        config.pull = self.pull;
        config.stop_timeout = self.container_stop_timeout;
        config.limits.remember = self.task_cleanup_wait;
        config.clean_up = CleanUp {
            disabled: self.disable_image_cleanup,
            interval: self.image_cleanup_interval.max(Duration::from_secs(1)),
            minimum_age: self.image_minimum_cleanup_age,
            untracked_minimum_age: self.untracked_image_minimum_cleanup_age,
            per_cycle: self.images_delete_per_cycle,
            untracked: self.untracked_image_cleanup,
            excluded: self.exclude_image.clone(),
            least_free_percent: self.least_free_disk,
        };
        config.file_systems = self.efs.iter().cloned().collect::<BTreeMap<_, _>>();
        config.gpus = agent::gpu::gpus(&self.gpus, std::path::Path::new("/"))
            .map_err(|why| anyhow::anyhow!("offer the GPUs of --gpu: {why}"))?;
        Ok(())
    }
}

fn default_range() -> String {
    format!("{}:{}", UserNamespaces::DEFAULT_BASE, UserNamespaces::DEFAULT_SIZE)
}

/// Checks `BASE:SIZE`.
fn range(text: &str) -> Result<String> {
    let (base, size) = ids(text)?;
    UserNamespaces::new(base, size, false).map_err(Error::msg)?;
    Ok(text.to_owned())
}

fn ids(text: &str) -> Result<(u32, u32)> {
    let unreadable =
        || format!("\"{text}\" is not a first id and how many, such as 100000:6553600");
    let (base, size) = text.split_once(':').with_context(unreadable)?;
    Ok((base.parse().with_context(unreadable)?, size.parse().with_context(unreadable)?))
}

fn pull_behavior(text: &str) -> Result<PullBehavior> {
    Ok(match text {
        "default" => PullBehavior::Default,
        "always" => PullBehavior::Always,
        "once" => PullBehavior::Once,
        "prefer-cached" => PullBehavior::PreferCached,
        _ => bail!("\"{text}\" is none of default, always, once and prefer-cached"),
    })
}

/// Reads a time as Go writes it: `1h30m`, `90s`, `500ms`.
fn duration(text: &str) -> Result<Duration> {
    let unreadable = || format!("\"{text}\" is not a time such as 30s, 10m or 1h30m");
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = rest.split_at(digits);
        let letters = unit.len() - unit.trim_start_matches(char::is_alphabetic).len();
        let (unit, next) = unit.split_at(letters);
        let number: u64 = number.parse().with_context(unreadable)?;
        let seconds = |count: u64| {
            number.checked_mul(count).map(Duration::from_secs).with_context(unreadable)
        };
        total += match unit {
            "ms" => Duration::from_millis(number),
            "s" => seconds(1)?,
            "m" => seconds(60)?,
            "h" => seconds(3600)?,
            _ => bail!(unreadable()),
        };
        rest = next;
    }
    if text.is_empty() { bail!(unreadable()) } else { Ok(total) }
}

fn gpu(text: &str) -> Result<agent::gpu::Named> {
    text.parse().map_err(|why: String| anyhow::anyhow!(why))
}

/// Reads `fs-12345678=HOST[:/PATH]`.
fn file_system(text: &str) -> Result<(String, FileSystem)> {
    let unreadable =
        || format!("\"{text}\" is not a file system and its place, such as fs-1=10.0.0.5:/exports");
    let (id, place) = text.split_once('=').with_context(unreadable)?;
    let (host, path) = match place.split_once(":/") {
        Some((host, path)) => (host, format!("/{path}")),
        None => (place, "/".to_owned()),
    };
    if id.is_empty() || host.is_empty() || host.contains([',', ' ']) {
        bail!(unreadable());
    }
    Ok((id.to_owned(), FileSystem { host: host.to_owned(), path }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_writes_them() {
        for (text, seconds) in [("3h", 10800), ("1h30m", 5400), ("90s", 90), ("0s", 0)] {
            assert_eq!(duration(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        for text in ["", "3", "h", "-1s", "1d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ids_are_a_first_and_how_many() {
        assert_eq!(ids("100000:65536").unwrap(), (100_000, 65_536));
        assert_eq!(range(&default_range()).unwrap(), default_range());
        for text in ["", "100000", "a:b", "100000:", "-1:65536", "1000:65536", "100000:1000"] {
            assert!(range(text).is_err(), "{text}");
        }
    }

    #[test]
    fn file_systems_are_found() {
        let read = |text: &str| file_system(text).unwrap();
        let at = |host: &str, path: &str| FileSystem { host: host.into(), path: path.into() };
        assert_eq!(read("fs-1=10.0.0.5"), ("fs-1".to_owned(), at("10.0.0.5", "/")));
        assert_eq!(read("fs-1=nas:/a/b"), ("fs-1".to_owned(), at("nas", "/a/b")));
        assert!(file_system("fs-1").is_err());
        assert!(file_system("fs-1=").is_err());
    }
}
