//! The seam under the writer: what keeps records.

use std::fmt::Debug;

use model::Change;

/// One record to write or remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where: kinds in loading order, then the key; [`crate::writes`] makes them.
    pub key: String,
    /// The record, or `None` to remove it.
    pub value: Option<Vec<u8>>,
}

/// Keeps records. One conformance suite holds every engine to this.
///
/// Designed to what a distributed engine takes too: ordered keys, values under 64 KiB but for task
/// definitions, one number per commit.
pub trait Engine: Send + Debug {
    /// Gives every record, in any order, and the number of the newest commit.
    fn load(&mut self, each: &mut dyn FnMut(Change)) -> Result<u64, EngineError>;

    /// Makes all of the writes durable under this number, or none of them.
    fn commit(&mut self, revision: u64, writes: &[Write]) -> Result<(), EngineError>;

    /// The writer has nothing to do: a chance to make the next start quick.
    fn idle(&mut self) -> Result<(), EngineError> {
        Ok(())
    }
}

/// Why an engine failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Reading or writing failed.
    #[error("{attempt}")]
    Io {
        /// What was attempted, on what.
        attempt: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A record cannot be read: written by another version, or damaged.
    #[error("the record {key} cannot be read; it was written by another version, or is damaged")]
    Record {
        /// Its key.
        key: String,
        /// What went wrong.
        #[source]
        source: rmp_serde::decode::Error,
    },
    /// Another process has the file.
    #[error(
        "{path} is in use by another process; stop it first (`wharf down`), or choose another --data-dir"
    )]
    InUse {
        /// The file.
        path: String,
    },
    /// The file has another format.
    #[error("the state has format {found}, this version reads {expected}")]
    Format {
        /// In the file.
        found: u64,
        /// What this version reads.
        expected: u64,
    },
}

impl EngineError {
    /// A failed read or write.
    pub fn io(
        attempt: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Io { attempt: attempt.into(), source: source.into() }
    }
}
