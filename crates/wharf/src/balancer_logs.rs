//! Logs of load balancers on their way to the buckets that their attributes name: lines are gathered and
//! compressed, and put as objects every five minutes, sooner when there is much, and at the end.
//!
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html>
//!
//! Invariants: what waits is bounded, and what had to be dropped is counted and told; an entry that the
//! balancer told before a shutdown is in its bucket when the process ends.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use balancer::{LogEntry, LogSource};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use model::{BalancerId, Realm, State, TrafficLog};
use objects::{Conditions, Meta, Objects, ObjectsError};
use shell::{Clock, OsEntropy};
use stdx::{Entropy, Timestamp};
use store::Store;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// So many entries may wait between the balancer and here: what forty thousand requests a second leave
/// between four looks.
pub(crate) const QUEUE: usize = 16_384;
/// How often it is looked for entries.
const LOOK: Duration = Duration::from_millis(100);
/// After so many entries somebody else has a turn.
const BATCH: usize = 256;
/// A file that has grown to this is put without waiting for the others, in bytes.
const FILE: usize = 4 << 20;
/// All files together; then all are put.
const FILES: usize = 32 << 20;
/// What may wait for a store that fails, in bytes.
const WAITING: usize = 64 << 20;
/// AWS's interval is in minutes, and so are the times in the names of objects.
const MINUTE: i64 = 60_000;

/// What delivery works with.
#[derive(Debug)]
pub(crate) struct Office {
    pub(crate) entries: LogSource,
    pub(crate) store: Store,
    pub(crate) objects: Objects,
    pub(crate) clock: Arc<dyn Clock>,
    /// How often.
    pub(crate) every: Duration,
    /// Where the balancer listens.
    pub(crate) address: IpAddr,
}

/// Which of a load balancer's logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Access,
    Connection,
}

/// Whose file it is and where it goes. What was gathered goes where it was to go when it was gathered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Log {
    kind: Kind,
    balancer: BalancerId,
    bucket: String,
    prefix: String,
}

/// Lines, compressed.
#[derive(Debug)]
struct File {
    lines: GzEncoder<Vec<u8>>,
    entries: u64,
}

/// A file that is complete.
#[derive(Debug)]
struct Parcel {
    bucket: String,
    key: String,
    bytes: Bytes,
    entries: u64,
}

/// Brings logs to their buckets.
#[derive(Debug)]
pub(crate) struct Delivery {
    office: Office,
    open: BTreeMap<Log, File>,
    waiting: VecDeque<Parcel>,
    due: Timestamp,
    dropped: u64,
}

impl Delivery {
    pub(crate) fn new(office: Office) -> Self {
        let due = boundary(office.clock.now(), office.every);
        Self { office, open: BTreeMap::new(), waiting: VecDeque::new(), due, dropped: 0 }
    }

    /// Delivers until the balancer has `finished`, and then what is left.
    pub(crate) async fn run(mut self, mut finished: JoinHandle<()>) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = &mut finished => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "The load balancers did not end in order.");
                    }
                    break;
                }
                _ = look.tick() => {}
            }
            self.gather().await;
            let now = self.office.clock.now();
            if now >= self.due {
                self.close_all(self.due);
                self.due = boundary(now, self.office.every);
                self.put_all().await;
                self.tell_dropped();
            }
        }
        self.gather().await;
        self.close_all(self.office.clock.now());
        self.put_all().await;
        self.dropped += self.waiting.drain(..).map(|parcel| parcel.entries).sum::<u64>();
        self.tell_dropped();
    }

    /// Takes what the balancer has told.
    async fn gather(&mut self) {
        let state = self.office.store.snapshot();
        let mut taken = 0;
        while let Some(entry) = self.office.entries.take() {
            self.write(&state, entry);
            taken += 1;
            if taken % BATCH == 0 {
                tokio::task::yield_now().await;
            }
        }
        let size = |file: &File| file.lines.get_ref().len();
        if self.open.values().map(size).sum::<usize>() >= FILES {
            self.close_all(self.office.clock.now());
        }
        if !self.waiting.is_empty() && taken > 0 {
            self.put_all().await;
        }
    }

    fn write(&mut self, state: &State, entry: LogEntry) {
        let balancer = BalancerId::from(entry.balancer().as_str());
        let found = state.balancing().balancer(&balancer);
        let (kind, line) = line(state.realm(), entry);
        let place = found.map(|found| match kind {
            Kind::Access => &found.settings.access_log,
            Kind::Connection => &found.settings.connection_log,
        });
        // The balancer, or its log, went just now.
        let Some(TrafficLog { bucket, prefix, .. }) = place.filter(|log| log.on) else { return };
        let log = Log { kind, balancer, bucket: bucket.clone(), prefix: prefix.clone() };
        let file = self.open.entry(log.clone()).or_insert_with(|| File {
            lines: GzEncoder::new(Vec::new(), Compression::fast()),
            entries: 0,
        });
        file.entries += 1;
        // Memory takes everything.
        drop(writeln!(file.lines, "{line}"));
        if file.lines.get_ref().len() >= FILE {
            self.close(&log, self.office.clock.now());
        }
    }

    fn close_all(&mut self, end: Timestamp) {
        let logs: Vec<Log> = self.open.keys().cloned().collect();
        logs.iter().for_each(|log| self.close(log, end));
    }

    /// A file is complete.
    fn close(&mut self, log: &Log, end: Timestamp) {
        let Some(file) = self.open.remove(log) else { return };
        let state = self.office.store.snapshot();
        let random = OsEntropy.hex32();
        let key = key(log, state.realm(), end, self.office.address, &random[..8]);
        let Ok(bytes) = file.lines.finish() else { return };
        let (bucket, entries) = (log.bucket.clone(), file.entries);
        self.waiting.push_back(Parcel { bucket, key, bytes: bytes.into(), entries });
        while self.waiting.iter().map(|parcel| parcel.bytes.len()).sum::<usize>() > WAITING {
            self.dropped += self.waiting.pop_front().map_or(0, |parcel| parcel.entries);
        }
    }

    /// Puts what is complete. What a store that fails did not take waits for the next time.
    async fn put_all(&mut self) {
        let mut again = VecDeque::new();
        while let Some(parcel) = self.waiting.pop_front() {
            let Err(error) = put(&self.office.objects, &parcel).await else { continue };
            let (bucket, key, entries) = (&parcel.bucket, &parcel.key, parcel.entries);
            let why = stdx::chain(&error);
            match error {
                ObjectsError::Refused { .. } => {
                    tracing::error!(
                        bucket,
                        key,
                        entries,
                        why,
                        "A load balancer's log is dropped: its bucket does not take it."
                    );
                    self.dropped += entries;
                }
                _ => {
                    tracing::error!(
                        bucket,
                        key,
                        entries,
                        why,
                        "A load balancer's log could not be stored yet."
                    );
                    again.push_back(parcel);
                }
            }
        }
        self.waiting = again;
    }

    fn tell_dropped(&mut self) {
        let late = self.office.entries.lost();
        if late + self.dropped > 0 {
            let undelivered = std::mem::take(&mut self.dropped);
            tracing::warn!(
                late,
                undelivered,
                "Entries of load balancers' logs were dropped: so many came faster than they could be written, and so many could not be stored."
            );
        }
    }
}

/// The next instant that is a multiple of the interval, as AWS's are.
fn boundary(now: Timestamp, every: Duration) -> Timestamp {
    let every = i64::try_from(every.as_millis()).unwrap_or(i64::MAX).max(1);
    Timestamp::from_millis((now.as_millis() / every + 1).saturating_mul(every))
}

/// An entry's line, and which log it is for. Target groups are told by their ARNs.
fn line(realm: &Realm, entry: LogEntry) -> (Kind, String) {
    match entry {
        LogEntry::Request(mut entry) => {
            let arn = |group: balancer::GroupId| realm.group(&group.as_str().into()).into();
            entry.group = entry.group.take().map(arn);
            (Kind::Access, entry.to_string())
        }
        LogEntry::Flow(entry) => (Kind::Access, entry.to_string()),
        LogEntry::Connection(entry) => (Kind::Connection, entry.to_string()),
    }
}

/// Where a file goes.
fn key(log: &Log, realm: &Realm, end: Timestamp, address: IpAddr, random: &str) -> String {
    let Realm { region, account, .. } = realm;
    let minute = Timestamp::from_millis((end.as_millis() + MINUTE - 1) / MINUTE * MINUTE);
    let (date, time) = (end.iso_basic(), minute.iso_basic());
    let (year, month, day) = (&date[..4], &date[4..6], &date[6..8]);
    let slash = if log.prefix.is_empty() { "" } else { "/" };
    let (prefix, name) = (&log.prefix, log.balancer.as_str().replace('/', "."));
    let before = match log.kind {
        Kind::Access => "",
        Kind::Connection => "conn_log.",
    };
    // Those of network load balancers do not tell the node.
    let node = if name.starts_with("net.") { String::new() } else { format!("{address}_") };
    format!(
        "{prefix}{slash}AWSLogs/{account}/elasticloadbalancing/{region}/{year}/{month}/{day}/\
         {before}{account}_elasticloadbalancing_{region}_{name}_{}Z_{node}{random}.log.gz",
        &time[..13]
    )
}

async fn put(objects: &Objects, parcel: &Parcel) -> Result<(), ObjectsError> {
    let mut incoming = objects.receive(&[])?;
    incoming.push(parcel.bytes.clone()).await?;
    let received = incoming.finish().await?;
    let mut meta = Meta::default();
    meta.headers.insert("content-type".to_owned(), "application/x-gzip".to_owned());
    let always = Conditions::default();
    objects.put_object(&parcel.bucket, &parcel.key, received, meta, always).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_as_aws_names_them() {
        let realm = Realm::new("us-east-2", "123456789012");
        let mut log = Log {
            kind: Kind::Access,
            balancer: "app/web/50dc6c495c0c9188".into(),
            bucket: "b".into(),
            prefix: "a/b".into(),
        };
        let end = Timestamp::parse("2026-05-01T23:40:00Z").unwrap();
        let address = "192.0.2.7".parse().unwrap();
        assert_eq!(
            key(&log, &realm, end, address, "20sg8hgm"),
            "a/b/AWSLogs/123456789012/elasticloadbalancing/us-east-2/2026/05/01/\
             123456789012_elasticloadbalancing_us-east-2_app.web.50dc6c495c0c9188_20260501T2340Z_192.0.2.7_20sg8hgm.log.gz"
        );
        log = Log { kind: Kind::Connection, prefix: String::new(), ..log };
        let early = Timestamp::parse("2026-05-01T23:35:01Z").unwrap();
        let named = key(&log, &realm, early, address, "x");
        assert!(named.starts_with("AWSLogs/123456789012/"), "{named}");
        assert!(
            named.contains("/conn_log.123456789012_") && named.contains("_20260501T2336Z_"),
            "{named}"
        );
        log = Log { kind: Kind::Access, balancer: "net/web/1".into(), ..log };
        let named = key(&log, &realm, end, address, "x");
        assert!(named.ends_with("_net.web.1_20260501T2340Z_x.log.gz"), "{named}");
    }

    #[test]
    fn intervals_end_where_aws_ends_them() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let five = Duration::from_secs(300);
        assert_eq!(boundary(at("2026-05-01T23:36:01Z"), five), at("2026-05-01T23:40:00Z"));
        assert_eq!(boundary(at("2026-05-01T23:40:00Z"), five), at("2026-05-01T23:45:00Z"));
    }
}
