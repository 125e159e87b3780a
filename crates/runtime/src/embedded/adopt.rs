//! What an engine does about sandboxes that are there already, and when a shim dies.

use std::sync::{Arc, Weak};

use super::shim_client::ShimConnection;
use super::{Inner, guard, system};
use crate::shim::proto::{Notice, Reply, Request};
use crate::{Event, Exit, RuntimeError, SandboxId};

impl Inner {
    /// Takes over every sandbox that is found, and clears away what belongs to none.
    pub(crate) async fn adopt_all(self: &Arc<Self>) -> Result<(), RuntimeError> {
        let found = self.places.sandboxes().map_err(system("read the run folder"))?;
        let mut groups = Vec::new();
        for id in found {
            let record =
                self.places.record(&id).map_err(system(format!("read the record of {id}")))?;
            let Some(record) = record else {
                // It was being made when its engine died, and has nothing yet.
                self.remove_folders(&id).await?;
                continue;
            };
            groups.push(record.group.clone());
            {
                let mut names = guard(&self.names);
                for status in self.places.container_records(&id).unwrap_or_default() {
                    names.containers.insert(status.status.id, id.clone());
                }
                names.sandboxes.insert(id.clone(), record.clone());
                names
                    .leases
                    .extend(record.users.map(|range| (id.clone(), self.ranges.claim(range))));
            }
            match self.watch(&id).await {
                Ok(connection) => spawn_watcher(self, id, record.group, connection),
                Err(error) => {
                    tracing::warn!(sandbox = %id, %error, "its shim is gone");
                    self.bury(&id, &record.group).await?;
                }
            }
        }
        let parent = &self.config.cgroup_parent;
        for name in self.cgroups.children(parent) {
            let group = format!("{parent}/{name}");
            if !groups.contains(&group) {
                self.destroy_group(&group).await?;
            }
        }
        Ok(())
    }

    async fn watch(&self, id: &SandboxId) -> std::io::Result<ShimConnection> {
        let patience = std::time::Duration::from_secs(5);
        let connect = async {
            let mut connection = ShimConnection::open(&self.places.run(id)).await?;
            match connection.ask(&Request::Watch).await? {
                Reply::Done => Ok(connection),
                other => Err(std::io::Error::other(format!("it answered {other:?}"))),
            }
        };
        let late = |_| Err(std::io::Error::other("its shim does not answer"));
        tokio::time::timeout(patience, connect).await.unwrap_or_else(late)
    }

    /// Kills what a dead shim may have left and writes down that its containers have ended.
    pub(crate) async fn bury(&self, id: &SandboxId, group: &str) -> Result<(), RuntimeError> {
        self.destroy_group(group).await?;
        let what = || system(format!("write the records of {id}"));
        for mut record in self.places.container_records(id).map_err(what())? {
            if record.status.exit.is_none() {
                let at = self.config.clock.now();
                record.status.exit = Some(Exit { code: None, oom_killed: false, at });
                record.status.pid = None;
                self.places.write_container_record(id, &record).map_err(what())?;
            }
        }
        Ok(())
    }

    /// Removes a cgroup and all in it; waits for the kernel on a thread of its own.
    pub(crate) async fn destroy_group(&self, group: &str) -> Result<(), RuntimeError> {
        let (cgroups, group) = (self.cgroups.clone(), group.to_owned());
        let joined = tokio::task::spawn_blocking(move || cgroups.destroy(&group)).await;
        joined.map_err(|error| system("remove a cgroup")(std::io::Error::other(error)))??;
        Ok(())
    }
}

/// Passes on what a shim tells, until it ends.
pub(crate) fn spawn_watcher(
    inner: &Arc<Inner>,
    id: SandboxId,
    group: String,
    connection: ShimConnection,
) {
    tokio::spawn(watcher(Arc::downgrade(inner), id, group, connection));
}

async fn watcher(inner: Weak<Inner>, id: SandboxId, group: String, mut connection: ShimConnection) {
    loop {
        let reply = connection.receive().await;
        let Some(inner) = inner.upgrade() else { return };
        let event = match reply {
            Ok(Some(Reply::Notice(Notice::Exited { container, exit }))) => {
                Event::Exited { sandbox: id.clone(), container, exit }
            }
            Ok(Some(Reply::Notice(Notice::Health { container, health, at }))) => {
                Event::Health { sandbox: id.clone(), container, health, at }
            }
            Ok(Some(other)) => {
                tracing::warn!(sandbox = %id, ?other, "an answer nobody asked for");
                continue;
            }
            Ok(None) | Err(_) => {
                lost(&inner, &id, &group).await;
                return;
            }
        };
        // Nobody listening is nobody told.
        inner.events.send(event).unwrap_or_default();
    }
}

/// A shim has ended. If its sandbox was removed, another of the same name may stand by now, which is
/// told apart by its cgroup.
async fn lost(inner: &Inner, id: &SandboxId, group: &str) {
    {
        let names = guard(&inner.names);
        let stands = names.sandboxes.get(id).is_some_and(|record| record.group == group);
        if names.removing.contains(id) || !stands {
            return;
        }
    }
    if let Err(error) = inner.bury(id, group).await {
        tracing::warn!(sandbox = %id, error = %stdx::chain(&error), "what its shim left remains");
    }
    inner.events.send(Event::SandboxLost { sandbox: id.clone() }).unwrap_or_default();
}
