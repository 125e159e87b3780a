//! The OCI face: distribution-spec 1.1 over HTTP, under `/v2/`.
//!
//! Whoever asks gives a user name and a password, as with ECR (`AWS` and a token); who that is, is
//! the [`Authorizer`]'s business.

mod blob;
mod error;
mod manifest;
mod route;
mod upload;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use self::error::{Code, HttpError};
use self::route::Route;
use crate::registry::Registry;

/// Decides who may use the registry.
pub trait Authorizer: Send + Sync {
    /// Whether this user name and password are good; if not, a sentence for the user.
    fn check(&self, username: &str, password: &str) -> Result<(), String>;

    /// Whether who has this password, which was found good, may do `action` (as ECR calls it, such as
    /// `ecr:BatchGetImage`) on a repository; if not, a sentence for the user. Unless it says
    /// otherwise, whoever may use the registry may use all of it.
    fn permit(&self, password: &str, action: &str, repository: &str) -> Result<(), String> {
        let _ = (password, action, repository);
        Ok(())
    }
}

impl<F: Fn(&str, &str) -> Result<(), String> + Send + Sync> Authorizer for F {
    fn check(&self, username: &str, password: &str) -> Result<(), String> {
        self(username, password)
    }
}

#[derive(Clone)]
struct App {
    registry: Arc<Registry>,
    authorizer: Arc<dyn Authorizer>,
}

/// The routes `/v2`, `/v2/` and all below.
pub fn router(registry: Arc<Registry>, authorizer: Arc<dyn Authorizer>) -> Router {
    Router::new()
        .route("/v2", any(serve))
        .route("/v2/", any(serve))
        .route("/v2/{*path}", any(serve))
        .with_state(App { registry, authorizer })
}

async fn serve(State(app): State<App>, request: Request) -> Response {
    let mut response = match answer(&app, request).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    let version = HeaderValue::from_static("registry/2.0");
    response.headers_mut().insert("docker-distribution-api-version", version);
    response
}

async fn answer(app: &App, request: Request) -> Result<Response, HttpError> {
    let password = authorize(app, request.headers())?;
    let registry = &app.registry;
    let method = request.method().clone();
    let route = route::parse(request.uri().path(), request.uri().query())?;
    if let Some((action, repository)) = route.action(&method) {
        let permitted = app.authorizer.permit(&password, action, repository);
        let denied = |why: String| HttpError::new(StatusCode::FORBIDDEN, Code::Denied, &*why);
        permitted.map_err(denied)?;
    }
    match (&method, route) {
        (&Method::GET | &Method::HEAD, Route::Ping) => {
            Ok(([(header::CONTENT_TYPE, "application/json")], "{}").into_response())
        }
        (&Method::GET, Route::Catalog { page }) => Ok(manifest::catalog(registry, &page)),
        (&Method::GET, Route::Tags { name, page }) => manifest::tags(registry, &name, &page),
        (&Method::GET, Route::Referrers { name, digest, artifact_type }) => {
            manifest::referrers(registry, &name, &digest, artifact_type.as_deref())
        }
        (&Method::GET | &Method::HEAD, Route::Manifest { name, reference }) => {
            manifest::get(registry, &name, &reference, method == Method::HEAD).await
        }
        (&Method::PUT, Route::Manifest { name, reference }) => {
            manifest::put(registry, &name, reference, request).await
        }
        (&Method::DELETE, Route::Manifest { name, reference }) => {
            manifest::delete(registry, &name, reference).await
        }
        (&Method::GET | &Method::HEAD, Route::Blob { name, digest }) => {
            blob::get(registry, &name, &digest, request.headers(), method == Method::HEAD).await
        }
        (&Method::DELETE, Route::Blob { name, digest }) => {
            blob::delete(registry, &name, &digest).await
        }
        (&Method::POST, Route::Uploads { name, query }) => {
            upload::begin(registry, &name, query, request).await
        }
        (&Method::GET | &Method::HEAD, Route::Upload { name, id, .. }) => {
            upload::status(registry, &name, &id)
        }
        (&Method::PATCH, Route::Upload { name, id, .. }) => {
            upload::append(registry, &name, &id, request).await
        }
        (&Method::PUT, Route::Upload { name, id, digest }) => {
            upload::end(registry, &name, &id, digest, request).await
        }
        (&Method::DELETE, Route::Upload { name, id, .. }) => upload::cancel(registry, &name, &id),
        (_, route) => Err(HttpError::method(&method, route.methods())),
    }
}

/// The password that the request was let in with.
fn authorize(app: &App, headers: &HeaderMap) -> Result<String, HttpError> {
    let challenge =
        format!("Basic realm=\"https://{}/\",service=\"ecr.amazonaws.com\"", app.registry.host());
    let refuse = |why: &str| {
        HttpError::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, why)
            .with_header(header::WWW_AUTHENTICATE, &challenge)
    };
    let given = headers.get(header::AUTHORIZATION).ok_or_else(|| {
        refuse("no user name and password were given; log in as user AWS with the password of `aws ecr get-login-password`")
    })?;
    let (username, password) = basic(given).ok_or_else(|| {
        refuse("the Authorization header is not Basic with a user name and a password")
    })?;
    app.authorizer.check(&username, &password).map_err(|why| refuse(&why))?;
    Ok(password)
}

/// An answer without a body.
fn empty(status: StatusCode) -> Response {
    (status, [(header::CONTENT_LENGTH, "0")]).into_response()
}

/// The user name and password of `Basic base64(name:password)` (RFC 7617).
fn basic(value: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    let bytes =
        STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let text = String::from_utf8(bytes).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_is_read_and_nothing_else() {
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        let good = format!("Basic {}", STANDARD.encode("AWS:a:b"));
        assert_eq!(basic(&value(&good)), Some(("AWS".to_owned(), "a:b".to_owned())));
        assert!(basic(&value(&good.replace("Basic", "basic"))).is_some());
        for bad in
            ["Basic", "Basic !", "Bearer QVdTOng=", &format!("Basic {}", STANDARD.encode("nobody"))]
        {
            assert_eq!(basic(&value(bad)), None, "{bad}");
        }
    }
}
