//! Output in Fluentd's forward protocol: to the task's log router, or by the log driver `fluentd`.
//! <https://docs.docker.com/engine/logging/drivers/fluentd/>

use std::collections::BTreeMap;
use std::path::PathBuf;

use aws::ecs;
use runtime::LogMode;

use super::Refusal;
use super::firelens::{BUFFER_LIMIT, PORT};
use super::logs::buffer;
use super::logs::{Fluent, FluentAddress, LogPlan, MAX_LOG_BYTES, MAX_LOG_FILES, Writer, option};

/// The runtime's log driver that speaks the protocol.
const DRIVER: &str = "fluentd";

/// The longest path of a socket, for whoever connects to it by its path.
const LONGEST_SOCKET: usize = 107;

/// So many lines are sent at once where nothing is said.
const AT_ONCE: usize = 1024;

/// Where Docker's driver sends without an address.
const ADDRESS: &str = "127.0.0.1";

/// To the task's log router: by the runtime itself if it has the driver, else by the agent. The options
/// are the router's, all but one.
pub(super) fn routed(
    writer: Writer<'_>,
    options: &BTreeMap<String, String>,
) -> Result<(LogPlan, LogMode), Refusal> {
    let name = writer.name;
    let Some(socket) = writer.router else {
        return Err(Refusal::new(
            format!("container {name}: logConfiguration.logDriver awsfirelens"),
            "the task has no container with a firelensConfiguration",
        ));
    };
    let tag = format!("{name}-firelens-{}", writer.task_id);
    let limit = options.get(BUFFER_LIMIT);
    if writer.drivers.iter().any(|known| known == DRIVER) {
        let length = socket.as_os_str().len();
        if length > LONGEST_SOCKET {
            return Err(Refusal::new(
                format!("container {name}: logConfiguration.logDriver awsfirelens"),
                format!(
                    "the log router's socket {} would have a path of {length} bytes, and a socket's has \
                     at most {LONGEST_SOCKET}; give the node a shorter --data-dir",
                    socket.display()
                ),
            ));
        }
        let given = [
            ("fluentd-address", format!("unix://{}", socket.display())),
            ("fluentd-async", "true".to_owned()),
            ("fluentd-sub-second-precision", "true".to_owned()),
            ("tag", tag),
        ];
        let limit = limit.map(|limit| ("fluentd-buffer-limit", limit.clone()));
        let options = given.into_iter().chain(limit);
        let options = options.map(|(name, value)| (name.to_owned(), value)).collect();
        return Ok((LogPlan::Driver, LogMode::Driver { name: DRIVER.to_owned(), options }));
    }
    let at_once = match limit {
        None => AT_ONCE,
        Some(text) => lines(text).ok_or_else(|| {
            Refusal::new(option(name, BUFFER_LIMIT), format!("\"{text}\" is not a number"))
        })?,
    };
    let fluent = Fluent {
        address: FluentAddress::Unix(socket.to_owned()),
        tag,
        name: container_name(writer),
        fields: Vec::new(),
        at_once,
    };
    Ok((LogPlan::Fluent(fluent), kept(None)))
}

/// A buffer's limit as lines that are in memory at once.
fn lines(text: &str) -> Option<usize> {
    text.parse::<usize>().ok().map(|limit| limit.clamp(1, AT_ONCE))
}

/// The log driver `fluentd` on a runtime that has none.
pub(super) fn plain(
    writer: Writer<'_>,
    options: &BTreeMap<String, String>,
    secrets: Option<&[ecs::Secret]>,
) -> Result<(LogPlan, LogMode), Refusal> {
    let name = writer.name;
    if secrets.is_some_and(|secrets| !secrets.is_empty()) {
        let member = format!("container {name}: logConfiguration.secretOptions");
        return Err(Refusal::new(member, "this node's driver fluentd has no secret options"));
    }
    let mut fluent = Fluent {
        address: FluentAddress::Tcp(ADDRESS.to_owned(), PORT),
        tag: writer.runtime_id.to_owned(),
        name: container_name(writer),
        fields: Vec::new(),
        at_once: AT_ONCE,
    };
    for (key, value) in options {
        let wrong = |why: &str| Refusal::new(option(name, key), format!("\"{value}\": {why}"));
        match key.as_str() {
            "fluentd-address" => fluent.address = address(value).map_err(|why| wrong(&why))?,
            "tag" => fluent.tag = tag(value, writer).map_err(|why| wrong(&why))?,
            "fluentd-buffer-limit" => {
                fluent.at_once = lines(value).ok_or_else(|| wrong("it is not a number"))?;
            }
            "fluentd-request-ack" if value.eq_ignore_ascii_case("true") => {
                return Err(wrong("this node asks for no acknowledgements; use --runtime docker"));
            }
            // Output waits in files for its receiver, for as long as it takes.
            "fluentd-async"
            | "fluentd-async-connect"
            | "fluentd-async-reconnect-interval"
            | "fluentd-max-retries"
            | "fluentd-retry-wait"
            | "fluentd-request-ack"
            | "fluentd-sub-second-precision"
            | "mode"
            | "max-buffer-size" => {}
            _ => return Err(Refusal::unbuilt(option(name, key))),
        }
    }
    Ok((LogPlan::Fluent(fluent), kept(buffer(name, options)?)))
}

fn kept(non_blocking_bytes: Option<u64>) -> LogMode {
    LogMode::Files { max_bytes: MAX_LOG_BYTES, max_files: MAX_LOG_FILES, non_blocking_bytes }
}

fn container_name(writer: Writer<'_>) -> String {
    let (family, version) = writer.definition;
    format!("/ecs-{family}-{version}-{}-{}", writer.name, writer.task_id)
}

/// `[tcp://]host[:port]` or `unix:///path`.
fn address(text: &str) -> Result<FluentAddress, String> {
    if let Some(path) = text.strip_prefix("unix://") {
        return if path.starts_with('/') {
            Ok(FluentAddress::Unix(PathBuf::from(path)))
        } else {
            Err("it is no absolute path".to_owned())
        };
    }
    if text.starts_with("tls://") {
        return Err("this node sends without TLS; use --runtime docker".to_owned());
    }
    let rest = text.strip_prefix("tcp://").unwrap_or(text);
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') => {
            (host, port.parse().map_err(|_| format!("{port} is not a port"))?)
        }
        _ => (rest, PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || host.contains('/') {
        return Err("it is no address, such as tcp://10.0.0.1:24224 or unix:///path".to_owned());
    }
    Ok(FluentAddress::Tcp(host.to_owned(), port))
}

/// Docker's words in a tag.
fn tag(text: &str, writer: Writer<'_>) -> Result<String, String> {
    let name = container_name(writer);
    let mut tag = text.to_owned();
    for (word, value) in [
        ("{{.ID}}", writer.runtime_id),
        ("{{.FullID}}", writer.runtime_id),
        ("{{.Name}}", name.trim_start_matches('/')),
        ("{{.ImageName}}", writer.image),
    ] {
        tag = tag.replace(word, value);
    }
    if tag.contains("{{") {
        return Err("of Docker's words this node has {{.ID}}, {{.FullID}}, {{.Name}} and \
                    {{.ImageName}}"
            .to_owned());
    }
    Ok(tag)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::task;
    use super::super::tests::{node, order};
    use super::*;

    fn planned(options: Value) -> Result<Fluent, String> {
        let containers = json!([{"name": "web", "image": "i:1", "logConfiguration":
            {"logDriver": "fluentd", "options": options}}]);
        let plan = task(&order(containers, json!({})), &node()).map_err(|e| e.to_string())?;
        match &plan.containers[0].log {
            LogPlan::Fluent(fluent) => Ok(fluent.clone()),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn addresses_and_tags_are_dockers() {
        let tcp = |host: &str, port| FluentAddress::Tcp(host.to_owned(), port);
        for (text, found) in [
            ("10.0.0.1:4000", tcp("10.0.0.1", 4000)),
            ("tcp://logs", tcp("logs", 24224)),
            ("tcp://[::1]:5", tcp("::1", 5)),
            ("unix:///run/x", FluentAddress::Unix("/run/x".into())),
        ] {
            let plan = planned(json!({"fluentd-address": text})).unwrap();
            assert_eq!(plan.address, found, "{text}");
        }
        let plain = planned(json!({})).unwrap();
        assert_eq!((plain.address, plain.tag.as_str()), (tcp("127.0.0.1", 24224), "0123abcd-0"));
        let tagged = planned(json!({"tag": "{{.ImageName}}/{{.Name}}"})).unwrap();
        assert_eq!(tagged.tag, "i:1/ecs-web-3-web-0123abcd");
    }

    #[test]
    fn what_this_driver_lacks_is_refused_by_name() {
        for (options, word) in [
            (json!({"fluentd-address": "tls://logs"}), "TLS"),
            (json!({"fluentd-address": "unix://x"}), "absolute"),
            (json!({"fluentd-address": "logs:x"}), "not a port"),
            (json!({"tag": "{{.DaemonName}}"}), "Docker's words"),
            (json!({"labels": "a"}), "labels"),
            (json!({"fluentd-request-ack": "true"}), "acknowledgements"),
            (json!({"fluentd-buffer-limit": "many"}), "fluentd-buffer-limit"),
        ] {
            let why = planned(options).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
