//! The logs of load balancers: their attributes, and whether their buckets can be written.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html>

use aws::Error;
use bytes::Bytes;
use model::{LoadBalancer, TrafficLog};
use objects::{Code, Conditions, Meta, ObjectsError};
use scheduler::{BalancerAttribute as A, LogAttribute};

use super::attributes::Given;
use super::errors::{configuration, invalid};
use crate::door::Door;

/// The longest prefix: with what stands after it a key has at most 1,024 bytes.
const LONGEST_PREFIX: usize = 700;

/// Which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Access,
    Connection,
}

impl Kind {
    const fn attribute(self, of: LogAttribute) -> A {
        match self {
            Self::Access => A::AccessLog(of),
            Self::Connection => A::ConnectionLog(of),
        }
    }

    /// The object that shows that the bucket can be written, and how its text names the log.
    const fn test_file(self) -> (&'static str, &'static str) {
        match self {
            Self::Access => ("ELBAccessLogTestFile", "AccessLog"),
            Self::Connection => ("ELBConnectionLogTestFile", "ConnectionLog"),
        }
    }
}

/// Reads an attribute of a log; none if it is another one.
pub(super) fn read(given: Given<'_>) -> Result<Option<A>, Error> {
    let (kind, of) = if let Some(of) = given.key.strip_prefix("access_logs.s3.") {
        (Kind::Access, of)
    } else if let Some(of) = given.key.strip_prefix("connection_logs.s3.") {
        (Kind::Connection, of)
    } else {
        return Ok(None);
    };
    Ok(Some(kind.attribute(match of {
        "enabled" => LogAttribute::On(given.flag()?),
        "bucket" => LogAttribute::Bucket(given.value.to_owned()),
        "prefix" => LogAttribute::Prefix(prefix(given)?),
        _ => return Ok(None),
    })))
}

fn prefix(given: Given<'_>) -> Result<String, Error> {
    let Given { key, value, .. } = given;
    let refused = |why: String| Err(invalid(format!("The value of '{key}' {why}")));
    if value.contains("AWSLogs") {
        return refused("cannot contain 'AWSLogs', which begins what is added to it".to_owned());
    }
    if value.starts_with('/') || value.ends_with('/') {
        return refused("cannot start or end with '/'".to_owned());
    }
    if value.len() > LONGEST_PREFIX {
        return refused(format!("cannot be longer than {LONGEST_PREFIX} bytes"));
    }
    Ok(value.to_owned())
}

/// Attributes of a log as they are shown.
pub(super) fn view(name: &'static str, log: &TrafficLog) -> [(String, String); 3] {
    [
        (format!("{name}.s3.enabled"), log.on.to_string()),
        (format!("{name}.s3.bucket"), log.bucket.clone()),
        (format!("{name}.s3.prefix"), log.prefix.clone()),
    ]
}

/// Shows, for each log that the changes turn on or move, that its bucket can be written: an object that
/// says so is put there.
///
/// # Errors
///
/// There is no such bucket.
pub(super) async fn check(door: &Door, of: &LoadBalancer, changes: &[A]) -> Result<(), Error> {
    for (kind, before) in
        [(Kind::Access, &of.settings.access_log), (Kind::Connection, &of.settings.connection_log)]
    {
        let after = after(kind, before, changes);
        // One without a bucket is for the decision to refuse.
        if after.on && after != *before && !after.bucket.is_empty() {
            put_test_file(door, of, kind, &after).await?;
        }
    }
    Ok(())
}

fn after(kind: Kind, before: &TrafficLog, changes: &[A]) -> TrafficLog {
    let mut log = before.clone();
    for change in changes {
        let (A::AccessLog(of) | A::ConnectionLog(of)) = change else { continue };
        if *change != kind.attribute(of.clone()) {
            continue;
        }
        match of {
            LogAttribute::On(on) => log.on = *on,
            LogAttribute::Bucket(bucket) => log.bucket.clone_from(bucket),
            LogAttribute::Prefix(prefix) => log.prefix.clone_from(prefix),
        }
    }
    log
}

async fn put_test_file(
    door: &Door,
    of: &LoadBalancer,
    kind: Kind,
    log: &TrafficLog,
) -> Result<(), Error> {
    let ((file, what), bucket) = (kind.test_file(), &log.bucket);
    let slash = if log.prefix.is_empty() { "" } else { "/" };
    let key = format!("{}{slash}AWSLogs/{}/{file}", log.prefix, door.realm().account);
    let now = door.config().clock.now().rfc3339();
    let text = format!("Enable {what} for ELB: {} at {now}", of.id.name());
    let objects = &door.config().objects;
    let put = async {
        let mut incoming = objects.receive(&[])?;
        incoming.push(Bytes::from(text)).await?;
        let received = incoming.finish().await?;
        let (meta, always) = (Meta::default(), Conditions::default());
        objects.put_object(bucket, &key, received, meta, always).await
    };
    let denied = format!("Access Denied for bucket: {bucket}. Please check S3bucket permission");
    match put.await {
        Ok(_) => Ok(()),
        Err(ObjectsError::Refused { code: Code::NoSuchBucket, .. }) => Err(configuration(format!(
            "{denied} (there is no bucket of that name: create it first)"
        ))),
        Err(error) => {
            tracing::error!(bucket, key, error = stdx::chain(&error), "A log cannot be begun.");
            Err(configuration(format!("{denied} (the server's log says why)")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given<'a>(key: &'a str, value: &'a str) -> Given<'a> {
        Given { of: "Load balancer", key, value }
    }

    #[test]
    fn attributes_are_read_and_prefixes_checked() {
        let on = read(given("access_logs.s3.enabled", "true")).unwrap();
        assert_eq!(on, Some(A::AccessLog(LogAttribute::On(true))));
        let bucket = read(given("connection_logs.s3.bucket", "b")).unwrap();
        assert_eq!(bucket, Some(A::ConnectionLog(LogAttribute::Bucket("b".into()))));
        assert_eq!(read(given("access_logs.s3.moon", "full")).unwrap(), None);
        assert_eq!(read(given("waf.fail_open.enabled", "false")).unwrap(), None);
        assert!(read(given("access_logs.s3.enabled", "yes")).is_err());
        for (value, good) in
            [("", true), ("a/b", true), ("/a", false), ("a/", false), ("x/AWSLogs", false)]
        {
            assert_eq!(read(given("access_logs.s3.prefix", value)).is_ok(), good, "{value}");
        }
    }

    #[test]
    fn what_a_log_becomes_is_known_before_it_is_decided() {
        let before = TrafficLog { on: false, bucket: "a".into(), prefix: "p".into() };
        let changes = [
            A::AccessLog(LogAttribute::On(true)),
            A::ConnectionLog(LogAttribute::Bucket("other".into())),
            A::Http2(false),
        ];
        let logged = after(Kind::Access, &before, &changes);
        assert_eq!((logged.on, logged.bucket.as_str()), (true, "a"));
        let connections = after(Kind::Connection, &before, &changes);
        assert_eq!((connections.on, connections.bucket.as_str()), (false, "other"));
    }
}
