//! `wharf up`, `wharf server` and `wharf agent`: from the configuration to an orderly end.

use std::io::{IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use cli::{Connection, Target};
use model::{RoleName, Tags};
use scheduler::{Command, IamCommand, NewRole, PolicyRef};
use shell::{Clock, Shutdown, ShutdownTrigger, SystemClock, shutdown};
use store::Store;
use tokio::signal::unix::{SignalKind, signal};

use crate::node::{self, AgentArgs, NodeSettings, RuntimeChoice};
use crate::node_options::{Fargate, NodeOptions};
use crate::places::Places;
use crate::settings::Settings;
use crate::{checks, pull, server};

/// Everything on this machine.
pub(crate) async fn up(settings: Settings, options: NodeOptions) -> Result<()> {
    let places = Places::of(&settings.data_dir)?;
    let _lock = places.lock()?;
    let listener = checks::listen(settings.listen)?;
    let address = listener.local_addr().context("ask for the listener's address")?;
    let clock: Arc<dyn Clock> = SystemClock::shared();
    let (trigger, stop) = shutdown();
    let begun = clock.now();
    let server = server::start(&settings, &places, listener, clock.clone(), stop.clone()).await?;
    let default = Command::CreateCluster { name: "default".into(), tags: Tags::default() };
    server.store.submit(default).await.context("make the cluster `default`")?;
    execution_role(&server.store).await?;
    let mut options = options;
    let fargate = *options.fargate.get_or_insert(Fargate::Auto);
    let node = NodeSettings {
        connection: Connection {
            endpoint: server.endpoint.clone(),
            region: settings.region.clone(),
            credentials: server.root_key.credentials(),
        },
        cluster: joins(fargate, "default"),
        attributes: vec![(
            "ecs.availability-zone".to_owned(),
            Some(format!("{}a", settings.region)),
        )],
        tags: Vec::new(),
        subnet: settings.subnet.clone(),
        runtime: settings.runtime.clone(),
        options,
        instance_id: None,
        offer: None,
        api_port: blocked(address),
    };
    let agent = node::start(node, &places, clock.clone(), stop.clone()).await?;
    pull::serve(&places.run(), agent.puller(), stop.clone())?;
    if agent.joined().await.is_none() {
        agent.ended().await.context("join the cluster `default`")?;
        bail!("this machine could not join the cluster `default`");
    }
    server.ready.set();
    tracing::info!(
        endpoint = server.endpoint,
        data_dir = %places.data.display(),
        ms = clock.now().since(begun).as_millis(),
        "Ready."
    );
    banner(&server.endpoint, &places);
    until_told(trigger, stop).await?;
    agent.ended().await.context("leave the cluster in order")?;
    server.served.await.context("wait for the server")?.context("serve")?;
    farewell(&places);
    Ok(())
}

/// The role under the name that everybody's task definitions have, as AWS's console makes it. One
/// that is there stays as it is.
async fn execution_role(store: &Store) -> Result<()> {
    let name = RoleName::from("ecsTaskExecutionRole");
    if store.snapshot().role(&name).is_some() {
        return Ok(());
    }
    let policy = "service-role/AmazonECSTaskExecutionRolePolicy";
    let role = NewRole {
        name: name.clone(),
        path: "/".to_owned(),
        trust: api::TRUST_TASKS.into(),
        description: "What nodes do for tasks: pulling images, writing logs.".to_owned(),
        max_session_seconds: 3600,
        tags: Tags::default(),
    };
    let arn = format!("arn:{}:iam::aws:policy/{policy}", store.snapshot().realm().partition);
    for command in [IamCommand::CreateRole(role), IamCommand::Attach(name, PolicyRef::Aws(arn))] {
        store
            .submit(Command::Iam(command))
            .await
            .context("make the role `ecsTaskExecutionRole`")?;
    }
    Ok(())
}

/// The control plane alone.
pub(crate) async fn server(settings: Settings) -> Result<()> {
    let places = Places::of(&settings.data_dir)?;
    let _lock = places.lock()?;
    let listener = checks::listen(settings.listen)?;
    let clock: Arc<dyn Clock> = SystemClock::shared();
    let (trigger, stop) = shutdown();
    let server = server::start(&settings, &places, listener, clock, stop.clone()).await?;
    server.ready.set();
    tracing::info!(endpoint = server.endpoint, data_dir = %places.data.display(), "Ready.");
    banner(&server.endpoint, &places);
    until_told(trigger, stop).await?;
    server.served.await.context("wait for the server")?.context("serve")
}

/// The cluster that a node joins: its own, unless all that it does is to take tasks of Fargate.
fn joins(fargate: Fargate, cluster: &str) -> String {
    match fargate {
        Fargate::Only => model::FARGATE_CLUSTER.to_owned(),
        Fargate::Auto | Fargate::On | Fargate::Off => cluster.to_owned(),
    }
}

/// The node alone.
pub(crate) async fn agent(args: AgentArgs) -> Result<()> {
    let places = Places::of(&args.data_dir)?;
    let _lock = places.lock()?;
    let target = Target { data_dir: None, endpoint_url: Some(args.server.clone()) };
    let settings = NodeSettings {
        connection: Connection::find(&target)?,
        cluster: joins(args.options.fargate(), &args.cluster),
        attributes: args.attributes.iter().map(|text| node::attribute(text)).collect(),
        tags: args.tags.clone(),
        subnet: args.subnet.clone(),
        runtime: RuntimeChoice { kind: args.runtime, docker_host: args.docker_host.clone() },
        instance_id: args.instance_id.clone(),
        offer: args.offer,
        api_port: None,
        options: args.options.clone(),
    };
    let (trigger, stop) = shutdown();
    let agent = node::start(settings, &places, SystemClock::shared(), stop.clone()).await?;
    pull::serve(&places.run(), agent.puller(), stop.clone())?;
    tracing::info!(server = args.server, cluster = args.cluster, "The node has started.");
    let told = until_told(trigger, stop);
    let ended = agent.ended();
    tokio::pin!(told, ended);
    tokio::select! {
        told = &mut told => told?,
        ended = &mut ended => {
            ended.context("join the cluster")?;
            bail!("the agent has ended");
        }
    }
    ended.await.context("leave the cluster in order")?;
    farewell(&places);
    Ok(())
}

/// Containers must not reach the API on this machine, unless it is meant for other machines too.
fn blocked(address: SocketAddr) -> Option<u16> {
    let loopback = match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    };
    loopback.then_some(address.port())
}

/// Waits for SIGINT or SIGTERM, then tells everybody; a second signal ends the process at once.
async fn until_told(trigger: ShutdownTrigger, mut stop: Shutdown) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = stop.wait() => bail!("a part of the server has ended"),
    }
    tracing::info!("Stopping; a second signal stops at once.");
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        std::process::exit(130);
    });
    trigger.fire();
    Ok(())
}

/// For people; machines read the log.
fn banner(endpoint: &str, places: &Places) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let data = places.data.display();
    tell(&format!(
        "\nWharf is ready at {endpoint}.\n\n  eval \"$(wharf env --data-dir {data})\"\n  aws ecs list-container-instances\n  wharf ps\n\nCtrl-C stops the server; tasks go on. `wharf down --data-dir {data}` stops them too.\n\n"
    ));
}

fn farewell(places: &Places) {
    if std::io::stderr().is_terminal() {
        let data = places.data.display();
        tell(&format!(
            "\nStopped. Tasks run on: `wharf up --data-dir {data}` finds them again, `wharf down --data-dir {data}` stops them.\n"
        ));
    }
}

/// A terminal that is gone needs no telling.
fn tell(text: &str) {
    drop(std::io::stderr().write_all(text.as_bytes()));
}
