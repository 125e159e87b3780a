//! Paths to what is asked: a pure function, and everything that the ECS agent has a path for.

use super::documents::Version;

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// A container's metadata.
    Container(Version, &'a str),
    /// A task's metadata.
    Task(Version, &'a str),
    /// The same with the tags of the task and its instance.
    TaskWithTags(Version, &'a str),
    /// What a container uses.
    Stats(Version, &'a str),
    /// What a task's containers use.
    TaskStats(Version, &'a str),
    /// Every task of the instance: the agent has the path and refuses it.
    Tasks(&'a str),
    /// The same of what they use.
    TasksStats,
    /// The names of a container's associations of a type.
    Associations(Version, &'a str, &'a str),
    /// One association.
    Association(Version, &'a str, &'a str, &'a str),
    /// A role's credentials, by version 1 or 2 of that endpoint; the id may be empty.
    Credentials(u8, &'a str),
    /// Version 2's metadata, of the task or of one container.
    ByAddress(Option<&'a str>),
    /// The same of the task, with tags.
    ByAddressWithTags,
    /// Version 2's use, of the task or of one container.
    StatsByAddress(Option<&'a str>),
    /// A task's protection against scale-in.
    Protection(&'a str),
    /// A fault to inject: its kind and what to do with it.
    Fault(&'a str),
    /// Nothing.
    Unknown,
}

/// Reads a path. `id` is the query's parameter of that name.
pub(super) fn route<'a>(path: &'a str, id: Option<&'a str>) -> Route<'a> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        ["v1", "credentials"] => Route::Credentials(1, id.unwrap_or_default()),
        ["v2", "credentials"] => Route::Credentials(2, ""),
        ["v2", "credentials", id] => Route::Credentials(2, id),
        ["v2", "metadata"] => Route::ByAddress(None),
        ["v2", "metadata", container] => Route::ByAddress(Some(container)),
        ["v2", "metadataWithTags"] => Route::ByAddressWithTags,
        ["v2", "stats"] => Route::StatsByAddress(None),
        ["v2", "stats", container] => Route::StatsByAddress(Some(container)),
        ["v3", rest @ ..] => by_id(Version::V3, rest),
        ["v4", id, "tasks"] => Route::Tasks(id),
        ["v4", _, "tasks", "stats"] => Route::TasksStats,
        ["v4", rest @ ..] => by_id(Version::V4, rest),
        ["api", id, "task-protection", "v1", "state"] => Route::Protection(id),
        [
            "api",
            id,
            "fault",
            "v1",
            "network-blackhole-port" | "network-latency" | "network-packet-loss",
            "start" | "stop" | "status",
        ] => Route::Fault(id),
        _ => Route::Unknown,
    }
}

fn by_id<'a>(version: Version, segments: &[&'a str]) -> Route<'a> {
    match *segments {
        [id] => Route::Container(version, id),
        [id, "task"] => Route::Task(version, id),
        [id, "taskWithTags"] => Route::TaskWithTags(version, id),
        [id, "stats"] => Route::Stats(version, id),
        [id, "task", "stats"] => Route::TaskStats(version, id),
        [id, "associations", kind] => Route::Associations(version, id, kind),
        [id, "associations", kind, name] => Route::Association(version, id, kind, name),
        _ => Route::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_the_agent_is_known_and_no_other() {
        use Version::{V3, V4};
        for (path, wanted) in [
            ("/v4/x", Route::Container(V4, "x")),
            ("//v3//x", Route::Container(V3, "x")),
            ("/v4/x/task", Route::Task(V4, "x")),
            ("/v3/x/task", Route::Task(V3, "x")),
            ("/v4/x/taskWithTags", Route::TaskWithTags(V4, "x")),
            ("/v4/x/stats", Route::Stats(V4, "x")),
            ("/v3/x/task/stats", Route::TaskStats(V3, "x")),
            ("/v4/x/tasks", Route::Tasks("x")),
            ("/v4/x/tasks/stats", Route::TasksStats),
            ("/v4/x/associations/gpu", Route::Associations(V4, "x", "gpu")),
            ("/v3/x/associations/gpu/0", Route::Association(V3, "x", "gpu", "0")),
            ("/v2/credentials/c", Route::Credentials(2, "c")),
            ("/v2/credentials/", Route::Credentials(2, "")),
            ("/v1/credentials", Route::Credentials(1, "q")),
            ("/v2/metadata/", Route::ByAddress(None)),
            ("/v2/metadata/c", Route::ByAddress(Some("c"))),
            ("/v2/metadataWithTags", Route::ByAddressWithTags),
            ("/v2/stats", Route::StatsByAddress(None)),
            ("/v2/stats/c", Route::StatsByAddress(Some("c"))),
            ("/api/x/task-protection/v1/state", Route::Protection("x")),
            ("/api/x/fault/v1/network-latency/start", Route::Fault("x")),
            ("/api/x/fault/v1/network-fire/start", Route::Unknown),
            ("/api/x/fault/v1/network-latency/pause", Route::Unknown),
            ("/v4/x/secrets", Route::Unknown),
            ("/v3/x/tasks", Route::Unknown),
            ("/v4", Route::Unknown),
            ("/", Route::Unknown),
        ] {
            assert_eq!(route(path, Some("q")), wanted, "{path}");
        }
    }
}
