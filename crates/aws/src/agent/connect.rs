//! The handshakes: query strings, and how a server refuses.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What Signature Version 4 leaves as it is in a query string.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The stock agent writes this before Docker's version, on one of its two sockets.
const DOCKER_PREFIX: &str = "DockerVersion: ";

/// A query string that is no agent's handshake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A parameter is missing or empty.
    #[error("read an agent's handshake: the query has no {0}")]
    Missing(&'static str),
    /// A parameter is no number.
    #[error("read an agent's handshake: {name} is '{value}', not a number")]
    Number {
        /// The parameter.
        name: &'static str,
        /// What it is.
        value: String,
    },
}

/// How an agent opens its ACS socket: `GET {endpoint}/ws?…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcsConnectQuery {
    /// The build of the agent.
    pub agent_hash: String,
    /// The version of the agent.
    pub agent_version: String,
    /// The cluster as the agent was told: a name or an ARN (`clusterArn`).
    pub cluster: String,
    /// The instance's ARN.
    pub container_instance_arn: String,
    /// The version of what runs containers, without the prefix `DockerVersion: `.
    pub docker_version: String,
    /// 2 says that the server may close when acknowledgements of heartbeats go missing.
    pub protocol_version: Option<i64>,
    /// Whether the server should send every task's credentials: on a process's first connection.
    pub send_credentials: bool,
    /// Always 1 so far.
    pub seq_num: i64,
}

impl AcsConnectQuery {
    /// Reads a query string, without `?`.
    ///
    /// # Errors
    ///
    /// If it names no cluster or no instance, or a number is none.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        let query = Parameters::parse(query);
        Ok(Self {
            agent_hash: query.text("agentHash"),
            agent_version: query.text("agentVersion"),
            cluster: query.required("clusterArn")?,
            container_instance_arn: query.required("containerInstanceArn")?,
            docker_version: query.docker_version(),
            protocol_version: query.number("protocolVersion")?,
            send_credentials: query.text("sendCredentials") == "true",
            seq_num: query.number("seqNum")?.unwrap_or(1),
        })
    }

    /// The query string, without `?`, sorted and escaped as Signature Version 4 wants it.
    pub fn render(&self) -> String {
        let mut parameters = vec![
            ("agentHash", self.agent_hash.clone()),
            ("agentVersion", self.agent_version.clone()),
            ("clusterArn", self.cluster.clone()),
            ("containerInstanceArn", self.container_instance_arn.clone()),
            ("dockerVersion", format!("{DOCKER_PREFIX}{}", self.docker_version)),
        ];
        if let Some(version) = self.protocol_version {
            parameters.push(("protocolVersion", version.to_string()));
        }
        parameters.push(("sendCredentials", self.send_credentials.to_string()));
        parameters.push(("seqNum", self.seq_num.to_string()));
        render(&parameters)
    }
}

/// How an agent opens its TCS socket: `GET {telemetryEndpoint}/ws?…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcsConnectQuery {
    /// The build of the agent.
    pub agent_hash: String,
    /// The version of the agent.
    pub agent_version: String,
    /// The cluster as the agent was told: a name or an ARN.
    pub cluster: String,
    /// The instance's ARN (`containerInstance`).
    pub container_instance_arn: String,
    /// The version of what runs containers.
    pub docker_version: String,
}

impl TcsConnectQuery {
    /// Reads a query string, without `?`.
    ///
    /// # Errors
    ///
    /// If it names no cluster or no instance.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        let query = Parameters::parse(query);
        Ok(Self {
            agent_hash: query.text("agentHash"),
            agent_version: query.text("agentVersion"),
            cluster: query.required("cluster")?,
            container_instance_arn: query.required("containerInstance")?,
            docker_version: query.docker_version(),
        })
    }

    /// The query string, without `?`, sorted and escaped as Signature Version 4 wants it.
    pub fn render(&self) -> String {
        render(&[
            ("agentHash", self.agent_hash.clone()),
            ("agentVersion", self.agent_version.clone()),
            ("cluster", self.cluster.clone()),
            ("containerInstance", self.container_instance_arn.clone()),
            ("dockerVersion", self.docker_version.clone()),
        ])
    }
}

/// How an agent opens its end of an ExecuteCommand session: `GET {endpoint}/exec/{session}?…`. An
/// addition of Wharf's: a server that has been restarted learns from it what the session is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecConnectQuery {
    /// The container's name.
    pub container_name: String,
    /// Whether the program runs already: the session's websocket broke.
    pub resumed: bool,
    /// The task's ARN.
    pub task_arn: String,
}

impl ExecConnectQuery {
    /// Reads a query string, without `?`.
    ///
    /// # Errors
    ///
    /// If it names no container or no task.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        let query = Parameters::parse(query);
        Ok(Self {
            container_name: query.required("containerName")?,
            resumed: query.text("resumed") == "true",
            task_arn: query.required("taskArn")?,
        })
    }

    /// The query string, without `?`, sorted and escaped as Signature Version 4 wants it.
    pub fn render(&self) -> String {
        render(&[
            ("containerName", self.container_name.clone()),
            ("resumed", self.resumed.to_string()),
            ("taskArn", self.task_arn.clone()),
        ])
    }
}

fn render(parameters: &[(&str, String)]) -> String {
    let pairs: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, QUERY)))
        .collect();
    pairs.join("&")
}

struct Parameters(BTreeMap<String, String>);

impl Parameters {
    fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn text(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_default()
    }

    fn required(&self, name: &'static str) -> Result<String, QueryError> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned().ok_or(QueryError::Missing(name))
    }

    fn number(&self, name: &'static str) -> Result<Option<i64>, QueryError> {
        match self.0.get(name).filter(|value| !value.is_empty()) {
            None => Ok(None),
            Some(value) => value
                .parse()
                .map(Some)
                .map_err(|_| QueryError::Number { name, value: value.chars().take(100).collect() }),
        }
    }

    fn docker_version(&self) -> String {
        let version = self.text("dockerVersion");
        version.strip_prefix(DOCKER_PREFIX).map_or(version.clone(), str::to_owned)
    }
}

/// Why a server refuses a handshake: HTTP 400 with [`Rejection::body`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The server is at fault: the agent backs off.
    Server,
    /// The request is no handshake: the agent backs off.
    BadRequest,
    /// There is no such cluster: the agent backs off.
    InvalidCluster,
    /// There is no such instance: the agent backs off.
    InvalidInstance,
    /// Not allowed: the agent backs off.
    AccessDenied,
    /// The instance is deregistered: the agent stays away for an hour.
    InactiveInstance,
}

impl Rejection {
    const ALL: &[Self] = &[
        Self::Server,
        Self::BadRequest,
        Self::InvalidCluster,
        Self::InvalidInstance,
        Self::AccessDenied,
        Self::InactiveInstance,
    ];

    /// The type's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "ServerException",
            Self::BadRequest => "BadRequestException",
            Self::InvalidCluster => "InvalidClusterException",
            Self::InvalidInstance => "InvalidInstanceException",
            Self::AccessDenied => "AccessDeniedException",
            Self::InactiveInstance => "InactiveInstanceException",
        }
    }

    /// The body of the refusal.
    pub fn body(self, message: &str) -> String {
        serde_json::json!({ "type": self.as_str(), "message": { "message": message } }).to_string()
    }

    /// Reads the body of a refusal, in either form that the stock agent understands: the reason and
    /// its sentence.
    pub fn parse(body: &str) -> Option<(Self, String)> {
        let value: serde_json::Value = serde_json::from_str(body).ok()?;
        Self::ALL.iter().copied().find_map(|reason| {
            let name = reason.as_str();
            if let Some(text) = value.get(name) {
                return Some((reason, text.as_str().unwrap_or_default().to_owned()));
            }
            (value.get("type")?.as_str()? == name).then(|| {
                let text = value.pointer("/message/message").and_then(|text| text.as_str());
                (reason, text.unwrap_or_default().to_owned())
            })
        })
    }
}
