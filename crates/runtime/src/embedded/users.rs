//! User namespaces of sandboxes: which sandbox has one, which ids it is given, and whether this node
//! can do it at all.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use super::slots::SlotKind;
use super::{Inner, guard, system};
use crate::engine::user_map::{RANGE, UserRange, copy_shown_as};
use crate::shim::proto::{Reply, Request};
use crate::{ContainerSpec, IpcMode, NetworkMode, PidMode, RuntimeError, SandboxSpec};

/// The lowest id that may be given away: those below are for the node's own users.
const LOWEST: u32 = 65_536;
/// Beyond it, programs that take ids for signed numbers go wrong.
const HIGHEST: u32 = 1 << 31;

/// User namespaces for a node's containers: the ids to give away, and how strictly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserNamespaces {
    base: u32,
    sandboxes: u32,
    whose: Whose,
}

/// Which sandboxes have user namespaces of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// Those that are to be hardened, if this node can do it at all.
    Hardened,
    /// All but those that ask for something of the node's.
    Most,
    /// All: what asks for something of the node's is refused.
    All,
}

impl UserNamespaces {
    /// The ids that nobody else uses by systemd's book (its "unused" range above containers): enough
    /// for 2048 sandboxes.
    pub const DEFAULT_BASE: u32 = 1_879_048_192;
    /// How many ids that is.
    pub const DEFAULT_SIZE: u32 = 2048 * RANGE;

    /// Gives away `size` ids from `base` on, 65536 to a sandbox. Containers that ask for the node's
    /// own network, processes, IPC objects or for all privileges keep the node's user namespace; if
    /// `strict`, they are refused.
    ///
    /// # Errors
    ///
    /// A sentence that says why such a range will not do.
    pub fn new(base: u32, size: u32, strict: bool) -> Result<Self, String> {
        let shown = format!("the range of ids {base}:{size}");
        if base < LOWEST {
            return Err(format!("{shown} begins below {LOWEST}, among the node's own users"));
        }
        if base.checked_add(size).is_none_or(|end| end > HIGHEST) {
            return Err(format!("{shown} goes beyond {HIGHEST}"));
        }
        match size / RANGE {
            0 => Err(format!("{shown} is too small: every task needs {RANGE} ids")),
            sandboxes => {
                let whose = if strict { Whose::All } else { Whose::Most };
                Ok(Self { base, sandboxes, whose })
            }
        }
    }

    /// Gives ids to hardened sandboxes alone. A node that can not do that starts all the same, and
    /// refuses such sandboxes: [`super::Embedded::hardened`] tells why.
    #[must_use]
    pub const fn for_hardened(self) -> Self {
        Self { whose: Whose::Hardened, ..self }
    }

    /// Whether they are for hardened sandboxes alone.
    pub fn is_for_hardened(&self) -> bool {
        self.whose == Whose::Hardened
    }

    /// Whether somebody else has been given some of these ids: an entry of `/etc/subuid` or
    /// `/etc/subgid` (`subuid(5)`), or a user of `/etc/passwd`.
    fn taken_by(&self, passwd: &str, subids: &str) -> Option<String> {
        let end = self.base + self.sandboxes * RANGE;
        let user = passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            Some((fields.next()?, fields.nth(1)?.parse::<u32>().ok()?))
        });
        let user = user.into_iter().find(|(_, id)| (self.base..end).contains(id));
        let given = subids.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let (name, base) = (fields.next()?, fields.next()?.parse::<u32>().ok()?);
            Some((name, base, fields.next()?.trim().parse::<u32>().ok()?))
        });
        let given = given.into_iter().find(|(name, base, size)| {
            *name != "wharf" && *base < end && base.saturating_add(*size) > self.base
        });
        user.map(|(name, id)| format!("user {name} of /etc/passwd has the id {id}")).or_else(|| {
            given.map(|(name, ..)| format!("/etc/subuid or /etc/subgid gives some to {name}"))
        })
    }
}

impl Default for UserNamespaces {
    fn default() -> Self {
        Self { base: Self::DEFAULT_BASE, sandboxes: 2048, whose: Whose::Most }
    }
}

/// Why a sandbox is in the node's own user namespace.
fn keeps_the_nodes(kind: SlotKind) -> Option<&'static str> {
    if kind.network == NetworkMode::Host {
        Some("the node's network")
    } else if kind.pid == PidMode::Host {
        Some("the node's processes")
    } else if kind.ipc == IpcMode::Host {
        Some("the node's IPC objects")
    } else {
        None
    }
}

/// The ranges that are given away.
#[derive(Debug, Default)]
struct Given {
    bases: BTreeSet<u32>,
    latest: u32,
}

/// A node's ranges.
#[derive(Clone, Debug)]
pub(crate) struct Ranges {
    config: Option<UserNamespaces>,
    given: Arc<Mutex<Given>>,
    // Why this node has none though hardened sandboxes were to have some.
    lacks: Arc<OnceLock<String>>,
}

/// A range for as long as this is kept.
#[derive(Debug)]
pub(crate) struct Lease {
    range: UserRange,
    given: Arc<Mutex<Given>>,
}

impl Lease {
    /// The ids.
    pub(crate) fn range(&self) -> UserRange {
        self.range
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        guard(&self.given).bases.remove(&self.range.base);
    }
}

impl Ranges {
    /// None are given away without a configuration.
    pub(crate) fn new(config: Option<UserNamespaces>) -> Self {
        Self { config, given: Arc::default(), lacks: Arc::default() }
    }

    /// Refuses what a strict node does not have.
    pub(crate) fn check_sandbox(&self, spec: &SandboxSpec) -> Result<(), RuntimeError> {
        let what = keeps_the_nodes(SlotKind::of(spec));
        if spec.hardened {
            self.hardened().map_err(|why| not_hardened(spec.id.as_str(), why))?;
            return what.map_or(Ok(()), |what| Err(not_hardened(spec.id.as_str(), shares(what))));
        }
        what.map_or(Ok(()), |what| self.refuse(spec.id.as_str(), what))
    }

    /// Whether sandboxes can have user namespaces of their own, else why not.
    pub(crate) fn hardened(&self) -> Result<(), String> {
        match (self.config, self.lacks.get()) {
            (Some(_), None) => Ok(()),
            (_, Some(why)) => Err(why.clone()),
            (None, None) => Err("this node was started without user namespaces".to_owned()),
        }
    }

    /// The same for a container.
    pub(crate) fn check_container(
        &self,
        spec: &ContainerSpec,
        hardened: bool,
    ) -> Result<(), RuntimeError> {
        let id = spec.id.as_str();
        match (spec.privileged, hardened) {
            (false, _) => Ok(()),
            (true, false) => self.refuse(id, "all privileges"),
            (true, true) => Err(not_hardened(id, shares("all privileges"))),
        }
    }

    fn refuse(&self, id: &str, what: &str) -> Result<(), RuntimeError> {
        if self.config.is_none_or(|config| config.whose != Whose::All) {
            return Ok(());
        }
        Err(RuntimeError::Unsupported {
            what: format!("give {id} {what}"),
            why:
                "this node keeps every container in a user namespace of its own (--userns strict), \
                  in which that does not exist; run the task on a node with --userns on or off"
                    .to_owned(),
        })
    }

    /// Ids for a new sandbox; none if it is to be in the node's user namespace. Those given back last
    /// come last.
    pub(crate) fn lease(&self, kind: SlotKind) -> Result<Option<Lease>, RuntimeError> {
        let due = |config: &UserNamespaces| {
            keeps_the_nodes(kind).is_none() && (kind.hardened || config.whose != Whose::Hardened)
        };
        let Some(config) = self.config.filter(due) else { return Ok(None) };
        let mut given = guard(&self.given);
        let after = given.latest.saturating_sub(config.base) / RANGE + u32::from(given.latest > 0);
        let bases = (0..config.sandboxes)
            .map(|step| config.base + (after + step) % config.sandboxes * RANGE);
        let free = bases.into_iter().find(|base| !given.bases.contains(base));
        let base = free.ok_or_else(|| RuntimeError::Unsupported {
            what: "give another sandbox ids of its own".into(),
            why: format!(
                "all {} ranges of --userns-range are in use; give it a larger one",
                config.sandboxes
            ),
        })?;
        given.bases.insert(base);
        given.latest = base;
        Ok(Some(Lease { range: UserRange { base }, given: Arc::clone(&self.given) }))
    }

    /// Ids that a sandbox has already.
    pub(crate) fn claim(&self, range: UserRange) -> Lease {
        guard(&self.given).bases.insert(range.base);
        Lease { range, given: Arc::clone(&self.given) }
    }
}

fn shares(what: &str) -> String {
    format!("it asks for {what}")
}

fn not_hardened(id: &str, why: String) -> RuntimeError {
    RuntimeError::Unsupported { what: format!("keep {id} in a user namespace of its own"), why }
}

fn cannot(why: String) -> RuntimeError {
    RuntimeError::Unsupported { what: "run containers in user namespaces (--userns)".into(), why }
}

impl Inner {
    /// Tries it. A node whose hardened sandboxes alone would have user namespaces goes on without.
    pub(super) async fn try_users(&self) -> Result<(), RuntimeError> {
        let optional = self.config.users.is_some_and(|users| users.whose == Whose::Hardened);
        match self.check_users().await {
            Err(error) if optional => {
                // Nobody has set it before: this is done once.
                _ = self.ranges.lacks.set(stdx::chain(&error));
                Ok(())
            }
            done => done,
        }
    }

    /// Tries on this node what user namespaces need: ids that are nobody's, the namespace itself, and
    /// that the state folder's file system can be idmapped.
    async fn check_users(&self) -> Result<(), RuntimeError> {
        let Some(config) = self.config.users else { return Ok(()) };
        if let Some(program) = &self.config.oci_runtime {
            return Err(cannot(format!(
                "they are the embedded engine's own, and --oci-runtime {} was asked for; leave one out",
                program.display()
            )));
        }
        let kernel = super::prepare::kernel();
        if kernel < (5, 19) {
            return Err(cannot(format!(
                "Linux {}.{} cannot show an image's layers in them: that takes Linux 5.19; upgrade \
                 it, or leave --userns out",
                kernel.0, kernel.1
            )));
        }
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let subids = read("/etc/subuid") + &read("/etc/subgid");
        if let Some(who) = config.taken_by(&read("/etc/passwd"), &subids) {
            return Err(cannot(format!(
                "{who}: choose ids that nobody has by --userns-range BASE:SIZE"
            )));
        }
        let (mut connection, slot) =
            self.bear(SlotKind { hardened: true, ..SlotKind::usual(NetworkMode::Private) })?;
        let why = "the kernel makes none (is user.max_user_namespaces 0?)";
        let pause = match connection.ask(&Request::Status).await {
            Ok(Reply::Status { pause, .. }) => pause,
            Ok(Reply::Failed(failure)) => {
                return Err(cannot(format!("{why}: {}", failure.why)));
            }
            Ok(_) | Err(_) => return Err(cannot(why.to_owned())),
        };
        let users = fs::File::open(format!("/proc/{pause}/ns/user"));
        let users = users.map_err(system("open a user namespace"))?;
        let shown = |folder: &Path| {
            copy_shown_as(folder, false, &users).map_err(|fault| cannot(fault.line()))
        };
        shown(&self.config.state_dir)?;
        drop((connection, slot));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(network: NetworkMode, pid: PidMode, ipc: IpcMode) -> SlotKind {
        SlotKind { network, pid, ipc, hardened: false }
    }

    #[test]
    fn ranges_that_will_not_do_are_refused_with_a_reason() {
        for (base, size, why) in [
            (0, RANGE, "begins below 65536"),
            (1 << 30, 1 << 30, ""),
            (1 << 30, (1 << 30) + 1, "goes beyond"),
            (u32::MAX, RANGE, "goes beyond"),
            (100_000, 65_535, "too small"),
        ] {
            let made = UserNamespaces::new(base, size, false);
            match why {
                "" => assert_eq!(made.unwrap().sandboxes, 16_384),
                why => assert!(made.unwrap_err().contains(why), "{base}:{size}"),
            }
        }
        let default = UserNamespaces::default();
        let (base, size) = (UserNamespaces::DEFAULT_BASE, UserNamespaces::DEFAULT_SIZE);
        assert_eq!(UserNamespaces::new(base, size, false), Ok(default));
    }

    #[test]
    fn ids_that_others_have_are_not_given_away() {
        let ours = UserNamespaces::new(100_000, 2 * RANGE, false).unwrap();
        let taken = |passwd: &str, subids: &str| ours.taken_by(passwd, subids);
        assert_eq!(taken("root:x:0:0::/:/bin/sh\nodd\n", "broken\nme:1:2\n"), None);
        assert_eq!(taken("", "wharf:100000:131072\n"), None, "they are meant for this");
        assert!(taken("web:x:100001:1::/:/bin/sh\n", "").unwrap().contains("user web"));
        assert!(taken("", "me:65536:40000\n").unwrap().contains("to me"));
        assert_eq!(taken("", "me:231072:65536\n"), None, "right behind");
    }

    #[test]
    fn each_sandbox_has_ids_of_its_own_until_it_is_gone() {
        let config = UserNamespaces::new(100_000, 3 * RANGE, false).unwrap();
        let ranges = Ranges::new(Some(config));
        let usual = kind(NetworkMode::Private, PidMode::Container, IpcMode::Container);
        let lease = || ranges.lease(usual).map(|lease| lease.expect("a private one has ids"));
        let (one, two) = (lease().unwrap(), lease().unwrap());
        assert_eq!((one.range().base, two.range().base), (100_000, 165_536));
        drop(one);
        let three = lease().unwrap();
        assert_eq!(three.range().base, 231_072, "what was given back last comes last");
        let claimed = ranges.claim(UserRange { base: 100_000 });
        assert!(lease().unwrap_err().to_string().contains("another sandbox"));
        drop(claimed);
        assert_eq!(lease().unwrap().range().base, 100_000);
        drop((two, three));
        for host in [
            kind(NetworkMode::Host, PidMode::Container, IpcMode::Container),
            kind(NetworkMode::Private, PidMode::Host, IpcMode::Container),
            kind(NetworkMode::Private, PidMode::Sandbox, IpcMode::Host),
        ] {
            assert!(ranges.lease(host).unwrap().is_none());
        }
        assert!(Ranges::new(None).lease(usual).unwrap().is_none());
    }

    #[test]
    fn what_is_hardened_has_ids_or_is_refused() {
        let config = UserNamespaces::new(100_000, 3 * RANGE, false).unwrap().for_hardened();
        let ranges = Ranges::new(Some(config));
        let usual = kind(NetworkMode::Private, PidMode::Container, IpcMode::Container);
        assert!(ranges.lease(usual).unwrap().is_none(), "others keep the node's");
        assert!(ranges.lease(SlotKind { hardened: true, ..usual }).unwrap().is_some());
        let hardened = SandboxSpec { hardened: true, ..crate::testing::sandbox("a") };
        assert!(ranges.check_sandbox(&hardened).is_ok());
        let host = SandboxSpec { network: NetworkMode::Host, ..hardened.clone() };
        let refused = ranges.check_sandbox(&host).unwrap_err();
        assert!(stdx::chain(&refused).contains("asks for the node's network"), "{refused}");
        ranges.lacks.set("Linux 5.4 is too old".to_owned()).unwrap();
        let refused = ranges.check_sandbox(&hardened).unwrap_err();
        assert!(stdx::chain(&refused).contains("Linux 5.4"), "{refused}");
        assert!(Ranges::new(None).check_sandbox(&hardened).is_err());
    }
}
