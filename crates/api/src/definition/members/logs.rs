//! The log of a container, and log routers.

use super::Sample::{Container, Task};
use super::{Member, Standing};

const AWSLOGS: super::Sample = Container(
    r#"{"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"g","awslogs-region":"eu-west-1",
    "awslogs-stream-prefix":"p","awslogs-create-group":"true","awslogs-multiline-pattern":"^x",
    "mode":"non-blocking","max-buffer-size":"4m"}}}"#,
);
const SECRET: super::Sample = Container(
    r#"{"logConfiguration":{"logDriver":"splunk","options":{"splunk-url":"https://splunk:8088"},
    "secretOptions":[{"name":"splunk-token","valueFrom":"/splunk/token"}]}}"#,
);
const ROUTER: super::Sample = Task(
    r#"{"containerDefinitions":[
    {"name":"web","image":"busybox","memory":64,"logConfiguration":{"logDriver":"awsfirelens","options":{"Name":"null"}}},
    {"name":"router","image":"fluent-bit","memory":64,
        "firelensConfiguration":{"type":"fluentbit","options":{"enable-ecs-log-metadata":"true"}}}]}"#,
);

const SPLUNK: &str = "com.amazonaws.ecs.capability.logging-driver.splunk";
const FLUENTD: &str = "com.amazonaws.ecs.capability.logging-driver.fluentd";
const FIRELENS: &str = "com.amazonaws.ecs.capability.logging-driver.awsfirelens";

/// A driver that Docker Engine has and the embedded engine has not.
const fn engines(path: &'static str, sample: &'static str, attribute: &'static str) -> Member {
    let having = Standing::Having(attribute);
    Member::yes(path, Container(sample)).on(Standing::Lacking(attribute), having, having)
}

/// A log router: on Docker Engine it is reached by the Engine's own driver `fluentd`.
const fn routed(path: &'static str) -> Member {
    let having = Standing::Having(FIRELENS);
    Member::yes(path, ROUTER).on(Standing::Honoured, having, having)
}

pub(super) const MEMBERS: &[Member] = &[
    Member::yes("containerDefinitions[].logConfiguration.logDriver=awslogs", AWSLOGS)
        .stock_having("com.amazonaws.ecs.capability.logging-driver.awslogs")
        .note(
            "awslogs-region is Wharf's own. Under AWS's agent Docker Engine sends the lines itself; see \
             stock-agent.md.",
        ),
    Member::yes(
        "containerDefinitions[].logConfiguration.logDriver=json-file",
        Container(
            r#"{"logConfiguration":{"logDriver":"json-file","options":{"max-size":"1m","max-file":"2"}}}"#,
        ),
    ),
    Member::yes(
        "containerDefinitions[].logConfiguration.logDriver=none",
        Container(r#"{"logConfiguration":{"logDriver":"none"}}"#),
    )
    .note("Not among ECS's drivers, though its agent has it."),
    engines(
        "containerDefinitions[].logConfiguration.logDriver=syslog",
        r#"{"logConfiguration":{"logDriver":"syslog","options":{"syslog-address":"udp://10.0.0.1:514","tag":"web"}}}"#,
        "com.amazonaws.ecs.capability.logging-driver.syslog",
    ),
    engines(
        "containerDefinitions[].logConfiguration.logDriver=journald",
        r#"{"logConfiguration":{"logDriver":"journald"}}"#,
        "com.amazonaws.ecs.capability.logging-driver.journald",
    ),
    engines(
        "containerDefinitions[].logConfiguration.logDriver=gelf",
        r#"{"logConfiguration":{"logDriver":"gelf","options":{"gelf-address":"udp://10.0.0.1:12201"}}}"#,
        "com.amazonaws.ecs.capability.logging-driver.gelf",
    ),
    Member::yes(
        "containerDefinitions[].logConfiguration.logDriver=fluentd",
        Container(
            r#"{"logConfiguration":{"logDriver":"fluentd","options":{"fluentd-async":"true"}}}"#,
        ),
    )
    .on(Standing::Honoured, Standing::Having(FLUENTD), Standing::Having(FLUENTD))
    .note(
        "The embedded engine's has no TLS, no acknowledgements and no `labels` and `env`; they stop the \
         task with their name.",
    ),
    engines(
        "containerDefinitions[].logConfiguration.logDriver=splunk",
        r#"{"logConfiguration":{"logDriver":"splunk","options":{"splunk-url":"https://splunk:8088","splunk-token":"t"}}}"#,
        SPLUNK,
    ),
    routed("containerDefinitions[].logConfiguration.logDriver=awsfirelens"),
    Member::yes(
        "containerDefinitions[].logConfiguration.options",
        Container(r#"{"logConfiguration":{"logDriver":"json-file","options":{"max-size":"1m"}}}"#),
    )
        .note("Those that the driver has; any other is refused by name. A router's are its own affair."),
    Member::yes("containerDefinitions[].logConfiguration.secretOptions[].name", SECRET).on(
        Standing::Lacking(SPLUNK),
        Standing::Having(SPLUNK),
        Standing::Having(SPLUNK),
    ),
    Member::yes("containerDefinitions[].logConfiguration.secretOptions[].valueFrom", SECRET).on(
        Standing::Lacking(SPLUNK),
        Standing::Having(SPLUNK),
        Standing::Having(SPLUNK),
    ),
    routed("containerDefinitions[].firelensConfiguration.type"),
    routed("containerDefinitions[].firelensConfiguration.options"),
];
