//! The members of a container, but for its log.

use super::Member;
use super::Sample::{Container, Task};

const PLAIN: super::Sample = Task("{}");
const PORTS: super::Sample = Container(
    r#"{"portMappings":[{"containerPort":80,"hostPort":8080,"protocol":"tcp","name":"web","appProtocol":"http"}]}"#,
);
const RESTART: super::Sample = Container(
    r#"{"restartPolicy":{"enabled":true,"ignoredExitCodes":[0],"restartAttemptPeriod":60}}"#,
);
const VARIABLES: super::Sample = Container(r#"{"environment":[{"name":"A","value":"b"}]}"#);
const FILES: super::Sample =
    Container(r#"{"environmentFiles":[{"type":"s3","value":"arn:aws:s3:::bucket/web.env"}]}"#);
const MOUNTS: super::Sample =
    Container(r#"{"mountPoints":[{"sourceVolume":"v","containerPath":"/data","readOnly":true}]}"#);
const BORROWED: super::Sample =
    Container(r#"{"volumesFrom":[{"sourceContainer":"db","readOnly":true}]}"#);
const LINUX: super::Sample = Container(
    r#"{"linuxParameters":{"capabilities":{"add":["NET_ADMIN"],"drop":["MKNOD"]},
    "devices":[{"hostPath":"/dev/null","containerPath":"/dev/x","permissions":["read"]}],
    "initProcessEnabled":true,"sharedMemorySize":64,"maxSwap":64,"swappiness":10,
    "tmpfs":[{"containerPath":"/run","size":16,"mountOptions":["noexec"]}]}}"#,
);
const SECRETS: super::Sample = Container(r#"{"secrets":[{"name":"A","valueFrom":"/app/a"}]}"#);
const WAITS: super::Sample =
    Container(r#"{"dependsOn":[{"containerName":"db","condition":"HEALTHY"}]}"#);
const HOSTS: super::Sample =
    Container(r#"{"extraHosts":[{"hostname":"a","ipAddress":"10.0.0.1"}]}"#);
const ULIMITS: super::Sample =
    Container(r#"{"ulimits":[{"name":"nofile","softLimit":1024,"hardLimit":4096}]}"#);
const HEALTH: super::Sample = Container(
    r#"{"healthCheck":{"command":["CMD","true"],"interval":10,"timeout":5,"retries":3,"startPeriod":0}}"#,
);
const CONTROLS: super::Sample =
    Container(r#"{"systemControls":[{"namespace":"net.core.somaxconn","value":"1024"}]}"#);

const APPARMOR: &str = "com.amazonaws.ecs.capability.apparmor";

pub(super) const MEMBERS: &[Member] = &[
    Member::yes("containerDefinitions[].name", PLAIN),
    Member::yes("containerDefinitions[].image", PLAIN),
    Member::yes(
        "containerDefinitions[].repositoryCredentials.credentialsParameter",
        Container(
            r#"{"repositoryCredentials":{"credentialsParameter":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:hub-AbCdEf"}}"#,
        ),
    )
    .note("Needs executionRoleArn."),
    Member::yes("containerDefinitions[].cpu", Container(r#"{"cpu":128}"#)),
    Member::yes("containerDefinitions[].memory", PLAIN),
    Member::yes("containerDefinitions[].memoryReservation", Container(r#"{"memoryReservation":32}"#)),
    Member::yes("containerDefinitions[].links[]", Container(r#"{"links":["db:database"]}"#))
        .note("networkMode bridge only, as in ECS."),
    Member::yes("containerDefinitions[].portMappings[].containerPort", PORTS),
    Member::yes("containerDefinitions[].portMappings[].hostPort", PORTS),
    Member::yes("containerDefinitions[].portMappings[].protocol", PORTS),
    Member::above("containerDefinitions[].portMappings[].name", PORTS)
        .note("A label for Service Connect: kept and shown."),
    Member::above("containerDefinitions[].portMappings[].appProtocol", PORTS)
        .note("A label for Service Connect: kept and shown."),
    Member::yes(
        "containerDefinitions[].portMappings[].containerPortRange",
        Container(r#"{"portMappings":[{"containerPortRange":"8000-8010"}]}"#),
    )
    .note("networkMode bridge only; the node chooses the host's ports."),
    Member::yes("containerDefinitions[].essential", Container(r#"{"essential":true}"#)),
    Member::yes("containerDefinitions[].restartPolicy.enabled", RESTART),
    Member::yes("containerDefinitions[].restartPolicy.ignoredExitCodes[]", RESTART),
    Member::yes("containerDefinitions[].restartPolicy.restartAttemptPeriod", RESTART),
    Member::yes("containerDefinitions[].entryPoint[]", Container(r#"{"entryPoint":["sh"]}"#)),
    Member::yes("containerDefinitions[].command[]", Container(r#"{"command":["true"]}"#)),
    Member::yes("containerDefinitions[].environment[].name", VARIABLES),
    Member::yes("containerDefinitions[].environment[].value", VARIABLES),
    Member::yes("containerDefinitions[].environmentFiles[].value", FILES).note("Needs executionRoleArn."),
    Member::yes("containerDefinitions[].environmentFiles[].type", FILES),
    Member::yes("containerDefinitions[].mountPoints[].sourceVolume", MOUNTS),
    Member::yes("containerDefinitions[].mountPoints[].containerPath", MOUNTS),
    Member::yes("containerDefinitions[].mountPoints[].readOnly", MOUNTS),
    Member::yes("containerDefinitions[].volumesFrom[].sourceContainer", BORROWED),
    Member::yes("containerDefinitions[].volumesFrom[].readOnly", BORROWED),
    Member::yes("containerDefinitions[].linuxParameters.capabilities.add[]", LINUX),
    Member::yes("containerDefinitions[].linuxParameters.capabilities.drop[]", LINUX),
    Member::yes("containerDefinitions[].linuxParameters.devices[].hostPath", LINUX),
    Member::yes("containerDefinitions[].linuxParameters.devices[].containerPath", LINUX),
    Member::yes("containerDefinitions[].linuxParameters.devices[].permissions[]", LINUX),
    Member::yes("containerDefinitions[].linuxParameters.initProcessEnabled", LINUX),
    Member::yes("containerDefinitions[].linuxParameters.sharedMemorySize", LINUX),
    Member::yes("containerDefinitions[].linuxParameters.tmpfs[].containerPath", LINUX),
    Member::yes("containerDefinitions[].linuxParameters.tmpfs[].size", LINUX),
    Member::yes("containerDefinitions[].linuxParameters.tmpfs[].mountOptions[]", LINUX),
    Member::yes("containerDefinitions[].linuxParameters.maxSwap", LINUX)
        .note("Needs the container's memory."),
    Member::yes("containerDefinitions[].linuxParameters.swappiness", LINUX)
        .note("Without maxSwap it is ignored, as in ECS."),
    Member::yes("containerDefinitions[].secrets[].name", SECRETS),
    Member::yes("containerDefinitions[].secrets[].valueFrom", SECRETS)
        .note("Parameter Store by name or ARN, Secrets Manager by ARN. Needs executionRoleArn."),
    Member::yes("containerDefinitions[].dependsOn[].containerName", WAITS),
    Member::yes("containerDefinitions[].dependsOn[].condition", WAITS),
    Member::yes("containerDefinitions[].startTimeout", Container(r#"{"startTimeout":30}"#)),
    Member::yes("containerDefinitions[].stopTimeout", Container(r#"{"stopTimeout":30}"#)),
    Member::above(
        "containerDefinitions[].versionConsistency=disabled",
        Container(r#"{"versionConsistency":"disabled"}"#),
    ),
    Member::no(
        "containerDefinitions[].versionConsistency=enabled",
        "resolving tags to digests is not built yet",
        Container(r#"{"versionConsistency":"enabled"}"#),
    ),
    Member::yes("containerDefinitions[].hostname", Container(r#"{"hostname":"web"}"#)),
    Member::yes("containerDefinitions[].user", Container(r#"{"user":"1000:1000"}"#)),
    Member::yes("containerDefinitions[].workingDirectory", Container(r#"{"workingDirectory":"/tmp"}"#)),
    Member::yes("containerDefinitions[].disableNetworking", Container(r#"{"disableNetworking":true}"#)),
    Member::yes("containerDefinitions[].privileged", Container(r#"{"privileged":true}"#))
        .note("Refused by a node with --userns strict."),
    Member::yes(
        "containerDefinitions[].readonlyRootFilesystem",
        Container(r#"{"readonlyRootFilesystem":true}"#),
    ),
    Member::yes("containerDefinitions[].dnsServers[]", Container(r#"{"dnsServers":["10.0.0.2"]}"#)),
    Member::yes("containerDefinitions[].dnsSearchDomains[]", Container(r#"{"dnsSearchDomains":["a.b"]}"#)),
    Member::yes("containerDefinitions[].extraHosts[].hostname", HOSTS),
    Member::yes("containerDefinitions[].extraHosts[].ipAddress", HOSTS),
    Member::yes(
        "containerDefinitions[].dockerSecurityOptions[]",
        Container(r#"{"dockerSecurityOptions":["no-new-privileges","seccomp:unconfined"]}"#),
    )
    .note("no-new-privileges, seccomp with `unconfined` or a profile as JSON."),
    Member::yes(
        "containerDefinitions[].dockerSecurityOptions[]=apparmor:docker-default",
        Container(r#"{"dockerSecurityOptions":["apparmor:docker-default"]}"#),
    )
    .having(APPARMOR)
    .note("Any profile that the node has loaded."),
    Member::no(
        "containerDefinitions[].dockerSecurityOptions[]=label:disable",
        "labels of SELinux are not built yet",
        Container(r#"{"dockerSecurityOptions":["label:disable"]}"#),
    )
    .note("Any label."),
    Member::yes("containerDefinitions[].interactive", Container(r#"{"interactive":true}"#)),
    Member::yes("containerDefinitions[].pseudoTerminal", Container(r#"{"pseudoTerminal":true}"#)),
    Member::yes("containerDefinitions[].dockerLabels", Container(r#"{"dockerLabels":{"a":"b"}}"#)),
    Member::yes("containerDefinitions[].ulimits[].name", ULIMITS),
    Member::yes("containerDefinitions[].ulimits[].softLimit", ULIMITS),
    Member::yes("containerDefinitions[].ulimits[].hardLimit", ULIMITS),
    Member::yes("containerDefinitions[].healthCheck.command[]", HEALTH),
    Member::yes("containerDefinitions[].healthCheck.interval", HEALTH),
    Member::yes("containerDefinitions[].healthCheck.timeout", HEALTH),
    Member::yes("containerDefinitions[].healthCheck.retries", HEALTH),
    Member::yes("containerDefinitions[].healthCheck.startPeriod", HEALTH),
    Member::yes("containerDefinitions[].systemControls[].namespace", CONTROLS)
        .note("Settings of a namespace that the container does not share with the host."),
    Member::yes("containerDefinitions[].systemControls[].value", CONTROLS),
    Member::no(
        "containerDefinitions[].credentialSpecs",
        "credential specifications are not built yet",
        Container(r#"{"credentialSpecs":["credentialspec:arn"]}"#),
    ),
];
