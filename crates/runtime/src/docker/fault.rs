//! What the Engine says when it refuses, in the words of the seam.

use std::io;

use bollard::errors::Error;

use crate::RuntimeError;

/// The status of an answer that is a refusal.
pub(crate) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// What the Engine said, without what the client puts around it.
pub(crate) fn said(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.clone(),
        Error::DockerStreamError { error } => error.clone(),
        other => stdx::chain(other),
    }
}

/// Whether the Engine was not there to say anything.
pub(crate) fn is_away(error: &Error) -> bool {
    !matches!(
        error,
        Error::DockerResponseServerError { .. }
            | Error::DockerStreamError { .. }
            | Error::JsonDataError { .. }
            | Error::JsonSerdeError { .. }
    )
}

impl super::Inner {
    /// A failure of the Engine at something that ought to work.
    pub(crate) fn failed(&self, attempt: impl Into<String>, error: &Error) -> RuntimeError {
        let attempt = attempt.into();
        let source = if is_away(error) {
            io::Error::new(
                io::ErrorKind::NotConnected,
                format!(
                    "Docker Engine at {} is not there ({}): start it, or use --runtime embedded",
                    self.socket,
                    said(error)
                ),
            )
        } else {
            io::Error::other(said(error))
        };
        RuntimeError::System { attempt, source }
    }

    /// What a failure about one container means.
    pub(crate) fn about(
        &self,
        attempt: impl Into<String>,
        container: &str,
        error: &Error,
    ) -> RuntimeError {
        match status(error) {
            Some(404) => RuntimeError::NotFound { what: "container", id: container.to_owned() },
            Some(409) => RuntimeError::Invalid {
                id: container.to_owned(),
                why: "it does not run".to_owned(),
            },
            _ => self.failed(attempt, error),
        }
    }
}

/// What a refusal to make a container means.
pub(crate) fn creating(id: &str, image: &str, error: &Error) -> Option<RuntimeError> {
    let why = said(error);
    match status(error)? {
        404 if why.contains("No such image") => {
            Some(RuntimeError::NotFound { what: "image", id: image.to_owned() })
        }
        400 | 404 | 409 => Some(RuntimeError::Invalid { id: id.to_owned(), why }),
        // The Engine calls some wrong wishes its own failure.
        500 if !why.contains("no space left") => {
            Some(RuntimeError::Invalid { id: id.to_owned(), why })
        }
        _ => None,
    }
}

/// What a refusal to start a container means.
pub(crate) fn starting(id: &str, error: &Error) -> Option<RuntimeError> {
    status(error)?;
    Some(RuntimeError::Start { id: id.to_owned(), why: cause(&said(error)) })
}

/// The cause among the layers of words that the Engine and its runtime put around it.
pub(crate) fn cause(text: &str) -> String {
    const AROUND: [&str; 6] = [
        "unable to start container process: ",
        "container_linux.go:380: starting container process caused: ",
        "OCI runtime exec failed: exec failed: ",
        "OCI runtime create failed: ",
        "failed to create endpoint ",
        "failed to create shim task: ",
    ];
    let text = text.trim().trim_end_matches(": unknown");
    let inner = AROUND.iter().find_map(|around| text.split_once(around).map(|(_, inner)| inner));
    let inner = inner.unwrap_or(text);
    // `exec: "/nope": stat /nope: why` has the path twice.
    let short = inner.strip_prefix("exec: \"").and_then(|rest| {
        let (program, rest) = rest.split_once("\": ")?;
        let why = rest.strip_prefix("stat ")?.strip_prefix(program)?.strip_prefix(": ")?;
        Some(format!("exec: \"{program}\": {why}"))
    });
    short.unwrap_or_else(|| inner.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status_code: u16, message: &str) -> Error {
        Error::DockerResponseServerError { status_code, message: message.to_owned() }
    }

    #[test]
    fn the_cause_is_found_among_the_words() {
        let text = "failed to create shim task: OCI runtime create failed: runc create failed: \
                    unable to start container process: exec: \"/nope\": stat /nope: no such file or \
                    directory: unknown";
        assert_eq!(cause(text), "exec: \"/nope\": no such file or directory");
        assert_eq!(cause("plain"), "plain");
    }

    #[test]
    fn refusals_get_the_kind_that_they_are() {
        let image = creating("box", "sha256:x", &refusal(404, "No such image: sha256:x"));
        assert!(matches!(image, Some(RuntimeError::NotFound { what: "image", .. })));
        let odd = creating("box", "i", &refusal(400, "invalid IP address"));
        assert!(matches!(odd, Some(RuntimeError::Invalid { .. })));
        assert!(creating("box", "i", &Error::RequestTimeoutError).is_none());
        assert!(is_away(&Error::RequestTimeoutError));
        let start = starting("box", &refusal(400, "OCI runtime create failed: x: unknown"));
        assert!(matches!(start, Some(RuntimeError::Start { why, .. }) if why == "x"));
    }
}
