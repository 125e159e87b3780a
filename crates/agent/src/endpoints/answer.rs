//! One request answered: found in the directory, worded as the ECS agent words it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws::agent::acs::RoleCredentials;
use aws::ecs;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use runtime::ContainerId;
use serde::Serialize;
use stdx::chain;
use tokio::time::timeout;

use super::directory::{Asker, Directory};
use super::documents::{ContainerDocument, TagsOf, TaskDocument, Version};
use super::limit::Limiter;
use super::listen::Origin;
use super::meta::{Phase, TaskMeta};
use super::protection;
use super::route::{Route, route};
use super::serve::{Instance, Surroundings};
use super::stats::{Book, Machine, StatsDocument};
use super::tags::Tags;
use crate::plan::devices::GPU;

/// The server is waited for so long; clients wait 5 s for us.
const PATIENCE: Duration = Duration::from_secs(4);
/// A request's body is never longer than this.
const BODY: usize = 16 * 1024;

/// What answers.
pub(super) struct Answering {
    around: Surroundings,
    directory: Arc<Directory>,
    machine: Machine,
    limiter: Mutex<Limiter>,
    book: Book,
    tags: Tags,
    instance: Instance,
}

/// What goes back: a status, and JSON text.
type Said = (u16, String);

fn json(status: u16, value: &impl Serialize) -> Said {
    match serde_json::to_string(value) {
        Ok(text) => (status, text),
        Err(_) => (500, "{}".to_owned()),
    }
}

/// Everything by one handler: paths are read by [`route`].
pub(super) fn router(answering: Arc<Answering>) -> Router {
    Router::new().fallback(handle).with_state(answering)
}

async fn handle(
    State(answering): State<Arc<Answering>>,
    ConnectInfo(origin): ConnectInfo<Origin>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    let id = query.split('&').find_map(|pair| pair.strip_prefix("id="));
    let route = route(parts.uri.path(), id);
    if !answering.allowed(&route, origin) {
        return plain(StatusCode::TOO_MANY_REQUESTS, "You have reached maximum request limit.");
    }
    let said = match route {
        Route::Unknown => return plain(StatusCode::NOT_FOUND, "404 page not found\n"),
        Route::Protection(endpoint) => match parts.method {
            Method::GET => answering.protection(endpoint, origin.asker, None).await,
            Method::PUT => {
                let Ok(body) = to_bytes(body, BODY).await else {
                    return plain(StatusCode::PAYLOAD_TOO_LARGE, "The request is too long.");
                };
                answering.protection(endpoint, origin.asker, Some(&body)).await
            }
            _ => return plain(StatusCode::METHOD_NOT_ALLOWED, ""),
        },
        Route::Fault(_) if parts.method != Method::POST => {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "");
        }
        other => answering.answer(&other, origin.asker).await,
    };
    respond(said)
}

fn respond((status, text): Said) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

impl Answering {
    pub(super) fn new(around: Surroundings, directory: Arc<Directory>, machine: Machine) -> Self {
        Self {
            around,
            directory,
            machine,
            limiter: Mutex::default(),
            book: Book::default(),
            tags: Tags::default(),
            instance: Instance::default(),
        }
    }

    pub(super) fn instance(&self, arn: &str) {
        let mut instance = self.instance.lock().unwrap_or_else(PoisonError::into_inner);
        *instance = Some(arn.to_owned());
    }

    /// Whether the source may ask once more. Ids that are nobody's are counted together: they must
    /// be neither remembered nor a way round.
    fn allowed(&self, route: &Route<'_>, origin: Origin) -> bool {
        let known = |id: &str| {
            let known = self.directory.find(id, origin.asker).is_some()
                || self.directory.credentials(id, origin.asker).is_some();
            known.then(|| id.to_owned())
        };
        let key = (origin.address, asked(route).and_then(known));
        let now = self.around.clock.now();
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner).allow(key, now)
    }

    async fn answer(&self, route: &Route<'_>, asker: Asker) -> Said {
        let directory = &self.directory;
        match *route {
            Route::Container(version, id) => match directory.find(id, asker) {
                Some((task, at)) => self.container(&task, at, version),
                None => unknown(version, "container metadata handler", What::Container, id),
            },
            Route::Task(version, id) => match directory.find(id, asker) {
                Some((task, _)) => json(200, &TaskDocument::new(&task, version, directory)),
                None => unknown(version, "task metadata handler", What::Task, id),
            },
            Route::TaskWithTags(version, id) => match directory.find(id, asker) {
                Some((task, _)) => json(200, &self.with_tags(&task, version).await),
                None => unknown(version, "task metadata handler", What::Task, id),
            },
            Route::Stats(version, id) => match directory.find(id, asker) {
                Some((task, at)) => self.container_stats(&task, at, version).await,
                None => unknown(version, "container stats handler", What::Stats, id),
            },
            Route::TaskStats(version, id) => match directory.find(id, asker) {
                Some((task, _)) => self.task_stats(&task, version).await,
                None => unknown(version, "task stats handler", What::Stats, id),
            },
            Route::Associations(version, id, kind) => {
                self.association(version, (id, asker), (kind, None))
            }
            Route::Association(version, id, kind, name) => {
                self.association(version, (id, asker), (kind, Some(name)))
            }
            Route::Tasks(_) => json(500, &"failed to get tasks metadata"),
            Route::TasksStats => json(500, &"tasks stats endpoint not supported"),
            Route::Credentials(version, id) => self.credentials(version, id, asker),
            Route::ByAddress(_) | Route::ByAddressWithTags | Route::StatsByAddress(_) => {
                self.by_address(route, asker).await
            }
            Route::Fault(id) => self.fault(id, asker),
            Route::Protection(_) | Route::Unknown => json(404, &"not found"),
        }
    }

    fn container(&self, task: &TaskMeta, at: usize, version: Version) -> Said {
        match task.containers.get(at) {
            Some(container) => {
                json(200, &ContainerDocument::new(task, container, version, &self.directory))
            }
            None => json(500, &"failed to get container metadata"),
        }
    }

    async fn with_tags(&self, task: &TaskMeta, version: Version) -> TaskDocument {
        let document = TaskDocument::new(task, version, &self.directory);
        let instance = self.instance.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (server, now) = (self.around.server.as_ref(), self.around.clock.now());
        let of_task = self.tags.of(&task.arn, server, now);
        let Some(instance) = instance else {
            let tags = of_task.await;
            return document.with_tags(TagsOf::Task, &task.arn, &tags, version);
        };
        let (tags, instance_tags) = tokio::join!(of_task, self.tags.of(&instance, server, now));
        document.with_tags(TagsOf::Instance, &instance, &instance_tags, version).with_tags(
            TagsOf::Task,
            &task.arn,
            &tags,
            version,
        )
    }

    async fn container_stats(&self, task: &TaskMeta, at: usize, version: Version) -> Said {
        let Some(container) = task.containers.get(at) else {
            return json(500, &"failed to get stats");
        };
        let looks = self.book.look(task, &self.around).await;
        let pair = looks.as_ref().ok().and_then(|looks| looks.get(&container.id));
        let Some(pair) = pair else {
            let error = looks.as_ref().err().map(|error| chain(error)).unwrap_or_default();
            tracing::debug!(container = %container.id, error, "There are no statistics.");
            return json(500, &format!("Unable to get container stats for: {}", container.id));
        };
        let name = self.directory.docker_name(task, container);
        let about = (version, self.machine);
        json(200, &StatsDocument::new(task, container, &name, pair, about))
    }

    /// By the containers' ids; one that is not running has none.
    async fn task_stats(&self, task: &TaskMeta, version: Version) -> Said {
        let looks = match self.book.look(task, &self.around).await {
            Ok(looks) => looks,
            Err(error) => {
                let error = chain(&error);
                tracing::debug!(task = task.id, error, "There are no statistics.");
                return json(500, &format!("Unable to get task stats for: {}", task.arn));
            }
        };
        let about = (version, self.machine);
        let made = task.containers.iter().filter(|container| container.known >= Phase::Created);
        let all: std::collections::BTreeMap<&str, Option<StatsDocument>> = made
            .map(|container| {
                let name = self.directory.docker_name(task, container);
                let stats = looks
                    .get(&container.id)
                    .map(|pair| StatsDocument::new(task, container, &name, pair, about));
                (container.id.as_str(), stats)
            })
            .collect();
        json(200, &all)
    }

    /// The names of the container's GPUs, or what is told of one, which is nothing. Of the other kind,
    /// by which Elastic Inference was attached, there are none.
    fn association(
        &self,
        version: Version,
        (id, asker): (&str, Asker),
        (kind, name): (&str, Option<&str>),
    ) -> Said {
        match self.directory.find(id, asker) {
            Some((task, at)) => {
                let gpus = task.containers.get(at).filter(|_| kind == GPU).map(|c| &c.gpus);
                let what = match (gpus, name) {
                    (Some(gpus), None) if !gpus.is_empty() => {
                        return json(200, &serde_json::json!({"Associations": gpus}));
                    }
                    (Some(gpus), Some(name)) if gpus.iter().any(|gpu| gpu == name) => {
                        return json(200, &"");
                    }
                    (_, Some(name)) => format!("association {kind} {name}"),
                    (_, None) => format!("associations of type {kind}"),
                };
                let reason = format!("task {} has no {what}", task.arn);
                json(404, &format!("Unable to write container association response: {reason}"))
            }
            None => unknown(version, "container associations handler", What::Association, id),
        }
    }

    fn credentials(&self, version: u8, id: &str, asker: Asker) -> Said {
        let refused = |code: &'static str, why: &str| {
            let message = format!("CredentialsV{version}Request: {why}");
            json(400, &CredentialsError { code, message, status: 400 })
        };
        if id.is_empty() {
            return refused("NoIdInRequest", "No Credential ID in the request");
        }
        match self.directory.credentials(id, asker) {
            Some(credentials) => json(200, &CredentialsDocument::from(&credentials)),
            None => refused("InvalidIdInRequest", "Credentials not found"),
        }
    }

    async fn by_address(&self, route: &Route<'_>, asker: Asker) -> Said {
        let Some((task, _)) = self.directory.find_by_address(asker) else {
            let from = match asker {
                Asker::Container(address) => address.to_string(),
                Asker::Machine => "127.0.0.1".to_owned(),
            };
            let why = format!("unable to associate '{from}' with a task");
            return json(400, &format!("Unable to get task arn from request: {why}"));
        };
        let place = |id: &str| task.containers.iter().position(|c| c.id == ContainerId::new(id));
        match *route {
            Route::ByAddress(Some(id)) => match place(id) {
                Some(at) => self.container(&task, at, Version::V2),
                None => json(400, &format!("Unable to generate metadata for container '{id}'")),
            },
            Route::ByAddressWithTags => json(200, &self.with_tags(&task, Version::V2).await),
            Route::StatsByAddress(None) => self.task_stats(&task, Version::V2).await,
            Route::StatsByAddress(Some(id)) => match place(id) {
                Some(at) => self.container_stats(&task, at, Version::V2).await,
                None => json(400, &format!("Unable to get container stats for: {id}")),
            },
            _ => json(200, &TaskDocument::new(&task, Version::V2, &self.directory)),
        }
    }

    /// Faults cannot be injected here, so that they are enabled for no task.
    fn fault(&self, id: &str, asker: Asker) -> Said {
        let (status, error) = match self.directory.find(id, asker) {
            Some((task, _)) => {
                (400, format!("enableFaultInjection is not enabled for task: {}", task.arn))
            }
            None => (404, format!("unable to lookup container: {id}")),
        };
        json(status, &FaultError { error })
    }

    /// Asks for the protection, or changes it as the request's body wishes, as the task's role.
    async fn protection(&self, id: &str, asker: Asker, body: Option<&[u8]>) -> Said {
        let (status, answer) = self.protect(id, asker, body).await;
        json(status, &answer)
    }

    async fn protect(
        &self,
        id: &str,
        asker: Asker,
        body: Option<&[u8]>,
    ) -> (u16, protection::Answer) {
        let wish = match body.map(protection::read) {
            None => None,
            Some(Some(wish)) => Some(wish),
            Some(None) => return protection::unreadable(),
        };
        let Some((task, _)) = self.directory.find(id, asker) else { return protection::no_task() };
        let arn = task.arn.as_str();
        if wish.is_some_and(|wish| wish.enabled.is_none()) {
            return protection::says_nothing(arn);
        }
        let Some(role) = self.directory.role_of(&task) else { return protection::no_role(arn) };
        match timeout(PATIENCE, self.call(&task, &role, wish)).await {
            Ok(Ok((tasks, failures))) => protection::answered(arn, tasks, failures),
            Ok(Err(error)) => protection::failed(arn, &error),
            Err(_) => protection::too_late(arn),
        }
    }

    async fn call(
        &self,
        task: &TaskMeta,
        role: &RoleCredentials,
        wish: Option<protection::Wish>,
    ) -> Result<(Option<Vec<ecs::ProtectedTask>>, Option<Vec<ecs::Failure>>), aws::ClientError>
    {
        let cluster = Some(task.cluster.clone());
        let tasks = Some(vec![task.arn.clone()]);
        let Some(wish) = wish else {
            let request = ecs::GetTaskProtectionRequest { cluster, tasks };
            let said = self.around.server.get_protection(role, request).await?;
            return Ok((said.protected_tasks, said.failures));
        };
        let request = ecs::UpdateTaskProtectionRequest {
            cluster,
            expires_in_minutes: wish.minutes,
            protection_enabled: wish.enabled,
            tasks,
        };
        let said = self.around.server.update_protection(role, request).await?;
        Ok((said.protected_tasks, said.failures))
    }
}

/// The id that a path asks about.
fn asked<'a>(route: &Route<'a>) -> Option<&'a str> {
    match *route {
        Route::Container(_, id)
        | Route::Task(_, id)
        | Route::TaskWithTags(_, id)
        | Route::Stats(_, id)
        | Route::TaskStats(_, id)
        | Route::Tasks(id)
        | Route::Associations(_, id, _)
        | Route::Association(_, id, _, _)
        | Route::Credentials(_, id)
        | Route::Protection(id)
        | Route::Fault(id) => Some(id),
        Route::TasksStats
        | Route::ByAddress(_)
        | Route::ByAddressWithTags
        | Route::StatsByAddress(_)
        | Route::Unknown => None,
    }
}

/// What could not be found by an id.
#[derive(Clone, Copy)]
enum What {
    Container,
    Task,
    Stats,
    Association,
}

/// An id that is nobody's, or not the asker's: the same words, so that nobody learns which.
fn unknown(version: Version, handler: &str, what: What, id: &str) -> Said {
    let (name, docker, task) = match version {
        Version::V4 => {
            ("V4", "unable to get container ID from request", "unable to get task arn from request")
        }
        Version::V2 | Version::V3 => {
            ("V3", "unable to get container ID from request", "unable to get task arn from request")
        }
    };
    let docker = format!("{docker}: unable to get docker ID from v3 endpoint ID: {id}");
    let task = format!("{task}: unable to get task Arn from v3 endpoint ID: {id}");
    let (status, reason) = match (what, version) {
        (What::Container, Version::V4) => (404, docker),
        (What::Container, Version::V2 | Version::V3) => (500, docker),
        (What::Task | What::Stats, Version::V4) => (404, task),
        (What::Task, Version::V2 | Version::V3) => (500, task),
        (What::Stats, Version::V2 | Version::V3) => (400, task),
        (What::Association, _) => (400, docker),
    };
    json(status, &format!("{name} {handler}: {reason}"))
}

/// A role's credentials, as SDKs read them.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CredentialsDocument<'a> {
    role_arn: &'a str,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    token: &'a str,
    expiration: &'a str,
}

impl<'a> From<&'a RoleCredentials> for CredentialsDocument<'a> {
    fn from(credentials: &'a RoleCredentials) -> Self {
        Self {
            role_arn: &credentials.role_arn,
            access_key_id: &credentials.access_key_id,
            secret_access_key: &credentials.secret_access_key,
            token: &credentials.session_token,
            expiration: &credentials.expiration,
        }
    }
}

/// Why there are no credentials, in the agent's members.
#[derive(Serialize)]
struct CredentialsError {
    code: &'static str,
    message: String,
    #[serde(rename = "HTTPErrorCode")]
    status: u16,
}

/// Why a fault is not injected.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FaultError {
    error: String,
}
