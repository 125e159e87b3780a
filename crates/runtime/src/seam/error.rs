//! Why something could not be done.

/// Why something could not be done with a container.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// There is no such sandbox or container.
    #[error("{what} {id} does not exist on this node")]
    NotFound {
        /// "sandbox" or "container".
        what: &'static str,
        /// Its name.
        id: String,
    },
    /// The specification asks for something impossible.
    #[error("{id} cannot be made: {why}")]
    Invalid {
        /// The sandbox's or container's name.
        id: String,
        /// What is wrong and what would be right.
        why: String,
    },
    /// The container's program could not be executed: not found, not executable, no such user, …
    #[error("{id} could not start: {why}")]
    Start {
        /// The container's name.
        id: String,
        /// Such as `exec: "/nope": no such file or directory`.
        why: String,
    },
    /// This node lacks something that was asked for.
    #[error("this node cannot {what}: {why}")]
    Unsupported {
        /// The wish.
        what: String,
        /// The reason and the remedy.
        why: String,
    },
    /// A system call or a supervising process failed.
    #[error("{attempt}")]
    System {
        /// What was attempted, on what.
        attempt: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
}
