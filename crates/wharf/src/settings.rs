//! What can be set, and where from: flags, then `WHARF_*`, then one TOML file, then defaults.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use auth::RootKey;
use serde::Deserialize;

use crate::node::{DOCKER_HOST, RuntimeChoice, RuntimeKind};
use crate::nodes::{NodesChoice, NodesKind};

/// Where the file is looked for when none is named.
const DEFAULT_FILE: &str = "/etc/wharf/wharf.toml";

/// Everything that may be given, by flag, variable or file. Nothing here has a default yet.
#[derive(Clone, Debug, Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Given {
    /// Folder of everything durable [default: /var/lib/wharf]
    #[arg(long, value_name = "DIR", env = "WHARF_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Address and port for the API, the registry and agents [default: 127.0.0.1:4747]
    #[arg(long, value_name = "HOST:PORT", env = "WHARF_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,
    /// The AWS region that this is [default: us-east-1]
    #[arg(long, value_name = "NAME", env = "WHARF_REGION")]
    pub(crate) region: Option<String>,
    /// The AWS account that this is: twelve digits [default: 000000000000]
    #[arg(long, value_name = "ID", env = "WHARF_ACCOUNT")]
    pub(crate) account: Option<String>,
    /// The root key's id, instead of one made at first start
    #[arg(long, value_name = "ID", env = "WHARF_ROOT_ACCESS_KEY_ID")]
    pub(crate) root_access_key_id: Option<String>,
    /// The root key's secret; better by variable or file than by flag
    #[arg(long, value_name = "KEY", env = "WHARF_ROOT_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub(crate) root_secret_access_key: Option<String>,
    /// Make a repository when an image is pushed to one that does not exist; ECR refuses
    #[arg(long, env = "WHARF_CREATE_ON_PUSH", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) create_on_push: Option<bool>,
    /// Listen beyond loopback although TLS is not built yet: whoever sees the traffic reads it
    #[arg(long, env = "WHARF_ALLOW_PLAIN_HTTP", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) allow_plain_http: Option<bool>,
    /// Network of the containers on this machine [default: a free one]
    #[arg(long, value_name = "CIDR", env = "WHARF_SUBNET")]
    pub(crate) subnet: Option<String>,
    /// Addresses of the VPC: of each task with networkMode awsvpc. A block of its own for each server of a
    /// machine, which nothing else there uses [default: 172.31.0.0/16]
    #[arg(long, value_name = "CIDR", env = "WHARF_VPC_CIDR")]
    pub(crate) vpc_cidr: Option<String>,
    /// What runs containers: Wharf itself, or Docker Engine [default: embedded]
    #[arg(long, value_enum, value_name = "KIND", env = "WHARF_RUNTIME")]
    pub(crate) runtime: Option<RuntimeKind>,
    /// Where Docker Engine listens, for --runtime docker [default: unix:///var/run/docker.sock]
    #[arg(long, value_name = "URL", env = "WHARF_DOCKER_HOST")]
    pub(crate) docker_host: Option<String>,
    /// Address on which load balancers listen [default: the host of --listen]
    #[arg(long, value_name = "ADDRESS", env = "WHARF_BALANCER_ADDRESS")]
    pub(crate) balancer_address: Option<IpAddr>,
    /// Domain under which load balancers have their names, for clients elsewhere: it and all names
    /// under it must resolve to --balancer-address [default: localhost, on loopback]
    #[arg(long, value_name = "DOMAIN", env = "WHARF_BALANCER_DOMAIN")]
    pub(crate) balancer_domain: Option<String>,
    /// Seconds between two deliveries of load balancers' logs to their buckets [default: 300, as AWS]
    #[arg(long, value_name = "SECONDS", env = "WHARF_BALANCER_LOG_SECONDS")]
    pub(crate) balancer_log_seconds: Option<u64>,
    /// Who starts the nodes of Auto Scaling groups: this machine, a program, or nobody [default: none]
    #[arg(long, value_enum, value_name = "WHO", env = "WHARF_NODES")]
    pub(crate) nodes: Option<NodesKind>,
    /// The program that starts and ends nodes, for --nodes command: it is called with start, end or list
    #[arg(long, value_name = "PROGRAM", env = "WHARF_NODE_COMMAND")]
    pub(crate) node_command: Option<PathBuf>,
    /// For how many days stopped tasks and events are kept; 0: tasks for an hour, as ECS, and events
    /// not at all [default: 7]
    #[arg(long, value_name = "DAYS", env = "WHARF_HISTORY_DAYS")]
    pub(crate) history_days: Option<u32>,
    /// How log lines are written: text or json [default: text]
    #[arg(long, value_name = "FORM", env = "WHARF_LOG_FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// What is logged, such as `info` or `warn,agent=debug` [default: info]
    #[arg(long, value_name = "FILTER", env = "WHARF_LOG")]
    pub(crate) log: Option<String>,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// Where load balancers are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BalancerPlace {
    /// Where they listen.
    pub(crate) address: IpAddr,
    /// How clients call them.
    pub(crate) names: scheduler::Names,
    /// How often their logs are delivered.
    pub(crate) log_every: Duration,
}

impl BalancerPlace {
    /// A name under `localhost` is loopback everywhere (RFC 6761); elsewhere a name must be given, or
    /// clients are told the address.
    fn new(address: IpAddr, domain: Option<String>, log_seconds: Option<u64>) -> Result<Self> {
        let names = match domain {
            Some(domain) if domain_name(&domain) => scheduler::Names::Under(domain),
            Some(domain) => bail!(
                "--balancer-domain {domain:?} is not a domain's name, such as apps.example.com"
            ),
            None if address.is_loopback() => scheduler::Names::Under("localhost".to_owned()),
            None => scheduler::Names::Address(address.to_string()),
        };
        let seconds = log_seconds.unwrap_or(300);
        if !(1..=3600).contains(&seconds) {
            bail!("--balancer-log-seconds {seconds} is not between 1 and 3600");
        }
        Ok(Self { address, names, log_every: Duration::from_secs(seconds) })
    }
}

fn domain_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    text.len() < 190 && text.split('.').all(|part| !part.is_empty() && part.bytes().all(plain))
}

/// What holds.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) region: String,
    pub(crate) account: String,
    pub(crate) root_key: Option<RootKey>,
    pub(crate) create_on_push: bool,
    pub(crate) subnet: String,
    pub(crate) vpc: model::Block,
    pub(crate) runtime: RuntimeChoice,
    pub(crate) balancers: BalancerPlace,
    pub(crate) nodes: NodesChoice,
    pub(crate) history_days: u32,
    pub(crate) log_format: LogFormat,
    pub(crate) log: String,
}

impl Given {
    /// Completes what is given with the file and the defaults.
    pub(crate) fn settle(self, file: Option<&Path>) -> Result<Settings> {
        let file = match file {
            Some(path) => Self::read(path)?,
            None if Path::new(DEFAULT_FILE).exists() => Self::read(Path::new(DEFAULT_FILE))?,
            None => Self::default(),
        };
        self.over(file).check()
    }

    fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("understand {}", path.display()))
    }

    fn over(self, file: Self) -> Self {
        Self {
            data_dir: self.data_dir.or(file.data_dir),
            listen: self.listen.or(file.listen),
            region: self.region.or(file.region),
            account: self.account.or(file.account),
            root_access_key_id: self.root_access_key_id.or(file.root_access_key_id),
            root_secret_access_key: self.root_secret_access_key.or(file.root_secret_access_key),
            create_on_push: self.create_on_push.or(file.create_on_push),
            allow_plain_http: self.allow_plain_http.or(file.allow_plain_http),
            subnet: self.subnet.or(file.subnet),
            vpc_cidr: self.vpc_cidr.or(file.vpc_cidr),
            runtime: self.runtime.or(file.runtime),
            docker_host: self.docker_host.or(file.docker_host),
            balancer_address: self.balancer_address.or(file.balancer_address),
            balancer_domain: self.balancer_domain.or(file.balancer_domain),
            balancer_log_seconds: self.balancer_log_seconds.or(file.balancer_log_seconds),
            nodes: self.nodes.or(file.nodes),
            history_days: self.history_days.or(file.history_days),
            node_command: self.node_command.or(file.node_command),
            log_format: self.log_format.or(file.log_format),
            log: self.log.or(file.log),
        }
    }

    fn check(self) -> Result<Settings> {
        let listen =
            self.listen.unwrap_or_else(|| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4747));
        if !listen.ip().is_loopback() && self.allow_plain_http != Some(true) {
            bail!(
                "{listen} can be reached from other machines, and TLS is not built yet, so tokens, images and logs would travel in clear.\nListen on 127.0.0.1, or accept that with --allow-plain-http."
            );
        }
        let account = self.account.unwrap_or_else(|| "000000000000".to_owned());
        if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            bail!("--account {account:?} is not an AWS account id: twelve digits");
        }
        let region = self.region.unwrap_or_else(|| "us-east-1".to_owned());
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if region.is_empty() || !region.bytes().all(plain) {
            bail!("--region {region:?} is not a region's name, such as us-east-1");
        }
        let root_key = match (self.root_access_key_id, self.root_secret_access_key) {
            (Some(id), Some(secret)) => Some(RootKey::new(id, secret)?),
            (None, None) => None,
            _ => bail!("the root key needs both its id and its secret, or neither"),
        };
        let kind = self.runtime.unwrap_or_default();
        if kind == RuntimeKind::Embedded && self.docker_host.is_some() {
            bail!(
                "--docker-host says where Docker Engine is, but it is not used: add --runtime docker"
            );
        }
        let docker_host = self.docker_host.unwrap_or_else(|| DOCKER_HOST.to_owned());
        let runtime = RuntimeChoice { kind, docker_host };
        let vpc = match self.vpc_cidr {
            Some(text) => text.parse().with_context(|| format!("--vpc-cidr {text}"))?,
            None => model::Block::DEFAULT,
        };
        let address = self.balancer_address.unwrap_or(listen.ip());
        let balancers =
            BalancerPlace::new(address, self.balancer_domain, self.balancer_log_seconds)?;
        Ok(Settings {
            data_dir: self.data_dir.unwrap_or_else(|| PathBuf::from("/var/lib/wharf")),
            listen,
            region,
            account,
            root_key,
            create_on_push: self.create_on_push.unwrap_or(false),
            subnet: self.subnet.unwrap_or_else(|| "auto".to_owned()),
            vpc,
            runtime,
            balancers,
            nodes: NodesChoice::new(self.nodes, self.node_command)?,
            history_days: self.history_days.unwrap_or(7),
            log_format: self.log_format.unwrap_or_default(),
            log: self.log.unwrap_or_else(|| "info".to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let file: Given =
            toml::from_str("region = \"eu-west-1\"\naccount = \"123456789012\"").unwrap();
        let given = Given { region: Some("us-west-2".into()), ..Given::default() };
        let settings = given.over(file).check().unwrap();
        assert_eq!(settings.region, "us-west-2");
        assert_eq!(settings.account, "123456789012");
        assert_eq!(settings.listen.to_string(), "127.0.0.1:4747");
    }

    #[test]
    fn load_balancers_are_called_by_names_that_lead_to_them() {
        let names = |listen: &str, address: Option<&str>, domain: Option<&str>| {
            let given = Given {
                listen: Some(listen.parse().unwrap()),
                allow_plain_http: Some(true),
                balancer_address: address.map(|a| a.parse().unwrap()),
                balancer_domain: domain.map(str::to_owned),
                ..Given::default()
            };
            let place = given.check().unwrap().balancers;
            (place.address.to_string(), place.names)
        };
        let under = |domain: &str| scheduler::Names::Under(domain.to_owned());
        let loopback = "127.0.0.1:4747";
        assert_eq!(names(loopback, None, None), ("127.0.0.1".to_owned(), under("localhost")));
        let open = names(loopback, Some("192.0.2.7"), None);
        assert_eq!(
            open,
            ("192.0.2.7".to_owned(), scheduler::Names::Address("192.0.2.7".to_owned()))
        );
        let named = names("0.0.0.0:4747", None, Some("apps.example.com"));
        assert_eq!(named, ("0.0.0.0".to_owned(), under("apps.example.com")));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_remedy() {
        let refused = |given: Given| given.check().unwrap_err().to_string();
        let open = Given { listen: Some("0.0.0.0:4747".parse().unwrap()), ..Given::default() };
        assert!(refused(open.clone()).contains("--allow-plain-http"));
        assert!(Given { allow_plain_http: Some(true), ..open }.check().is_ok());
        let account = Given { account: Some("12".into()), ..Given::default() };
        assert!(refused(account).contains("twelve digits"));
        let idle = Given { docker_host: Some("unix:///d.sock".into()), ..Given::default() };
        assert!(refused(idle.clone()).contains("--runtime docker"));
        let docker = Given { runtime: Some(RuntimeKind::Docker), ..idle };
        assert_eq!(docker.check().unwrap().runtime.docker_host, "unix:///d.sock");
        let domain = Given { balancer_domain: Some("a..b".into()), ..Given::default() };
        assert!(refused(domain).contains("--balancer-domain"));
        let half =
            Given { root_access_key_id: Some("AKIDEXAMPLE00000".into()), ..Given::default() };
        assert!(refused(half).contains("both"));
        assert!(
            toml::from_str::<Given>("regoin = \"x\"").unwrap_err().to_string().contains("regoin")
        );
    }
}
