//! The members of the task itself, and of its volumes.

use super::Sample::{Container, Task};
use super::{Member, Standing};
use crate::definition::TASK_NETWORK;

const NAMESPACES: &str = "ecs.capability.pid-ipc-namespace-sharing";
const TASK_ROLE: &str = "com.amazonaws.ecs.capability.task-iam-role";
const EFS: &str = "ecs.capability.efs";
const LOCAL: &str = "ecs.capability.docker-plugin.local";
const ARCHITECTURE: &str = "ecs.cpu-architecture=x86_64";

const LIMIT: &str = "AWS's agent sets limits of a task where it has task cgroups \
                     (ECS_ENABLE_TASK_CPU_MEM_LIMIT).";
const ROLES: &str =
    "A name or an ARN. A role that can not be assumed stops the task when it starts.";

pub(super) const MEMBERS: &[Member] = &[
    Member::above("family", Task("{}")),
    Member::yes("taskRoleArn", Task(r#"{"taskRoleArn":"app"}"#))
        .stock_having(TASK_ROLE)
        .note(ROLES),
    Member::yes("executionRoleArn", Task(r#"{"executionRoleArn":"exec"}"#)).note(ROLES),
    Member::yes("networkMode=bridge", Task(r#"{"networkMode":"bridge"}"#)),
    Member::yes("networkMode=host", Task(r#"{"networkMode":"host"}"#))
        .note("Refused by a node with --userns strict."),
    Member::yes("networkMode=none", Task(r#"{"networkMode":"none"}"#)),
    Member::yes("networkMode=awsvpc", Task(r#"{"networkMode":"awsvpc"}"#))
        .on(Standing::Honoured, Standing::Lacking(TASK_NETWORK), Standing::Lacking(TASK_NETWORK))
        .note("docs/networking.md. Nodes of the embedded runtime."),
    Member::above(
        "placementConstraints[].type",
        Task(r#"{"placementConstraints":[{"type":"memberOf","expression":"attribute:a exists"}]}"#),
    ),
    Member::above(
        "placementConstraints[].expression",
        Task(r#"{"placementConstraints":[{"type":"memberOf","expression":"attribute:a exists"}]}"#),
    )
    .note("The whole cluster query language: [placement](placement.md)."),
    Member::above("requiresCompatibilities[]=EC2", Task(r#"{"requiresCompatibilities":["EC2"]}"#)),
    Member::above(
        "requiresCompatibilities[]=EXTERNAL",
        Task(r#"{"requiresCompatibilities":["EXTERNAL"]}"#),
    ),
    Member::yes(
        "requiresCompatibilities[]=FARGATE",
        Task(
            r#"{"requiresCompatibilities":["FARGATE"],"networkMode":"awsvpc","cpu":"256","memory":"512"}"#,
        ),
    )
    .on(Standing::Honoured, Standing::Lacking(TASK_NETWORK), Standing::Lacking(TASK_NETWORK))
    .note("[Fargate](fargate.md): nodes that offer it."),
    Member::no(
        "requiresCompatibilities[]=MANAGED_INSTANCES",
        "MANAGED_INSTANCES is not built yet",
        Task(r#"{"requiresCompatibilities":["MANAGED_INSTANCES"]}"#),
    ),
    Member::yes("cpu", Task(r#"{"cpu":"0.5 vCPU"}"#)).note(LIMIT),
    Member::yes("memory", Task(r#"{"memory":"1 GB"}"#)).note(LIMIT),
    Member::above("tags[].key", Task(r#"{"tags":[{"key":"a","value":"b"}]}"#)),
    Member::above("tags[].value", Task(r#"{"tags":[{"key":"a","value":"b"}]}"#)),
    Member::yes("pidMode=host", Task(r#"{"pidMode":"host"}"#))
        .stock_having(NAMESPACES)
        .note("Refused by a node with --userns strict."),
    Member::yes("pidMode=task", Task(r#"{"pidMode":"task"}"#)).stock_having(NAMESPACES),
    Member::yes("ipcMode=host", Task(r#"{"ipcMode":"host"}"#))
        .stock_having(NAMESPACES)
        .note("Refused by a node with --userns strict."),
    Member::yes("ipcMode=task", Task(r#"{"ipcMode":"task"}"#)).stock_having(NAMESPACES),
    Member::yes("ipcMode=none", Task(r#"{"ipcMode":"none"}"#)).stock_having(NAMESPACES),
    Member::no(
        "proxyConfiguration",
        "App Mesh proxies are not built yet",
        Task(r#"{"proxyConfiguration":{"containerName":"web"}}"#),
    ),
    Member::no(
        "inferenceAccelerators",
        "accelerators are not built yet",
        Task(r#"{"inferenceAccelerators":[{"deviceName":"a","deviceType":"eia1.medium"}]}"#),
    ),
    Member::no(
        "ephemeralStorage",
        "limits of task storage are not built yet",
        Task(r#"{"ephemeralStorage":{"sizeInGiB":30}}"#),
    ),
    Member::yes(
        "runtimePlatform.cpuArchitecture",
        Task(r#"{"runtimePlatform":{"cpuArchitecture":"X86_64"}}"#),
    )
    .having(ARCHITECTURE)
    .note("ARM64 asks for arm64 in the same way."),
    Member::above(
        "runtimePlatform.operatingSystemFamily=LINUX",
        Task(r#"{"runtimePlatform":{"operatingSystemFamily":"LINUX"}}"#),
    ),
    Member::no(
        "runtimePlatform.operatingSystemFamily",
        "is not built in Wharf; use LINUX",
        Task(r#"{"runtimePlatform":{"operatingSystemFamily":"WINDOWS_SERVER_2022_CORE"}}"#),
    )
    .note("Every family but LINUX."),
    Member::no(
        "enableFaultInjection",
        "fault injection is not built yet",
        Task(r#"{"enableFaultInjection":true}"#),
    )
    .note("`true` only."),
    Member::no(
        "trustedExecutionConfiguration",
        "trusted execution is not built yet",
        Task(r#"{"trustedExecutionConfiguration":{"isolationMode":"SHARED"}}"#),
    ),
];

const DOCKER: &str = r#"{"volumes":[{"name":"v","dockerVolumeConfiguration":{"scope":"shared","autoprovision":true,
    "driver":"local","driverOpts":{"type":"tmpfs","device":"tmpfs"},"labels":{"a":"b"}}}]}"#;
const NFS: &str = r#"{"volumes":[{"name":"v","efsVolumeConfiguration":{"fileSystemId":"fs-1",
    "rootDirectory":"/r","transitEncryption":"DISABLED"}}]}"#;
const MOUNTS: &str = "Wharf's agent mounts the address that the node was given with `--efs`; AWS's agent \
                      mounts the name that EFS has in AWS's DNS.";

/// A volume of Docker's: what every node has is the driver `local`.
const fn docker(path: &'static str) -> Member {
    Member::yes(path, Task(DOCKER))
}

const fn nfs(path: &'static str) -> Member {
    Member::yes(path, Task(NFS))
        .on(Standing::Having(EFS), Standing::Having(EFS), Standing::Having(EFS))
        .note(MOUNTS)
}

/// GPUs, by their number.
const fn gpu(path: &'static str) -> Member {
    Member::yes(path, Container(r#"{"resourceRequirements":[{"type":"GPU","value":"1"}]}"#)).note(
        "Placed only where so many GPUs are free (`RESOURCE:GPU`); AWS's agent offers them with \
         ECS_ENABLE_GPU_SUPPORT.",
    )
}

pub(super) const VOLUMES: &[Member] = &[
    Member::yes("volumes[].name", Task(r#"{"volumes":[{"name":"v"}]}"#)),
    Member::yes("volumes[].host.sourcePath", Task(r#"{"volumes":[{"name":"v","host":{"sourcePath":"/srv"}}]}"#))
        .note("Without it the task gets an empty folder that goes with it."),
    docker("volumes[].dockerVolumeConfiguration.scope"),
    docker("volumes[].dockerVolumeConfiguration.autoprovision")
        .note("With scope `task` it is left out or true, as in ECS."),
    docker("volumes[].dockerVolumeConfiguration.driver").having(LOCAL).note(
        "Every node has `local`; another driver asks for `ecs.capability.docker-plugin.NAME`. A node \
         tells the plugins that answered when its agent started: those in `/run/docker/plugins` and \
         `/etc/docker/plugins`, and with Docker Engine the Engine's own.",
    ),
    docker("volumes[].dockerVolumeConfiguration.driverOpts"),
    docker("volumes[].dockerVolumeConfiguration.labels"),
    nfs("volumes[].efsVolumeConfiguration.fileSystemId"),
    nfs("volumes[].efsVolumeConfiguration.rootDirectory"),
    nfs("volumes[].efsVolumeConfiguration.transitEncryption=DISABLED"),
    Member::no(
        "volumes[].efsVolumeConfiguration.transitEncryption=ENABLED",
        "encryption on the way to a file system is not built yet",
        Task(r#"{"volumes":[{"name":"v","efsVolumeConfiguration":{"fileSystemId":"fs-1","transitEncryption":"ENABLED"}}]}"#),
    ),
    Member::no(
        "volumes[].efsVolumeConfiguration.transitEncryptionPort",
        "encryption on the way to a file system is not built yet",
        Task(r#"{"volumes":[{"name":"v","efsVolumeConfiguration":{"fileSystemId":"fs-1","transitEncryptionPort":2999}}]}"#),
    ),
    Member::no(
        "volumes[].efsVolumeConfiguration.authorizationConfig",
        "access points and IAM for file systems are not built yet",
        Task(r#"{"volumes":[{"name":"v","efsVolumeConfiguration":{"fileSystemId":"fs-1","authorizationConfig":{"iam":"ENABLED"}}}]}"#),
    ),
    Member::no(
        "volumes[].s3filesVolumeConfiguration",
        "S3 Files volumes are not built yet",
        Task(r#"{"volumes":[{"name":"v","s3filesVolumeConfiguration":{"fileSystemArn":"a"}}]}"#),
    ),
    Member::no(
        "volumes[].fsxWindowsFileServerVolumeConfiguration",
        "FSx volumes are not built yet",
        Task(r#"{"volumes":[{"name":"v","fsxWindowsFileServerVolumeConfiguration":{"fileSystemId":"fs-1","rootDirectory":"x"}}]}"#),
    ),
    Member::no(
        "volumes[].configuredAtLaunch",
        "volumes configured at launch are not built yet",
        Task(r#"{"volumes":[{"name":"v","configuredAtLaunch":true}]}"#),
    )
    .note("`true` only."),
    gpu("containerDefinitions[].resourceRequirements[].type=GPU"),
    Member::no(
        "containerDefinitions[].resourceRequirements[].type=InferenceAccelerator",
        "AWS ended Amazon Elastic Inference",
        Container(r#"{"resourceRequirements":[{"type":"InferenceAccelerator","value":"a"}]}"#),
    ),
    Member::no(
        "containerDefinitions[].resourceRequirements[].type=NeuronDevice",
        "placement counts GPUs only",
        Container(r#"{"resourceRequirements":[{"type":"NeuronDevice","value":"1"}]}"#),
    ),
    gpu("containerDefinitions[].resourceRequirements[].value"),
    Member::no(
        "containerDefinitions[].resourceRequirements[].sharingStrategy",
        "GPUs are not shared",
        Container(
            r#"{"resourceRequirements":[{"type":"GPU","value":"1","sharingStrategy":{"nvidiaMps":{"memory":512}}}]}"#,
        ),
    ),
];
