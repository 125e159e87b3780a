//! A disk whose power fails, for tests and simulations: a storage for redb that keeps unsynced writes
//! apart and, when it is told to, loses a random part of them, sector by sector.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;
use stdx::{Entropy, SeededEntropy};

const SECTOR: usize = 512;

/// What the platters hold, and what is still on its way there.
#[derive(Debug)]
struct Platters {
    durable: Vec<u8>,
    cached: BTreeMap<usize, [u8; SECTOR]>,
    cached_len: u64,
    steps_left: u64,
    lies: bool,
}

/// The disk. A clone is another handle on the same one: the store owns one, the test keeps another.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Mutex<Platters>>);

impl Disk {
    /// An empty disk on which `steps` more operations succeed.
    pub fn with_power_for(steps: u64) -> Self {
        Self(Arc::new(Mutex::new(Platters {
            durable: Vec::new(),
            cached: BTreeMap::new(),
            cached_len: 0,
            steps_left: steps,
            lies: false,
        })))
    }

    /// Makes every sync answer without syncing, so that a checker can be seen to bite.
    pub fn lie(&self) {
        self.lock().lies = true;
    }

    /// So many more operations succeed from now on.
    pub fn power_for(&self, steps: u64) {
        self.lock().steps_left = steps;
    }

    /// The power is back: of what was not synced, each sector is there with `percent` chance.
    pub fn reboot(&self, percent: u64, steps: u64, chance: &mut SeededEntropy) {
        let disk = &mut *self.lock();
        let cached = std::mem::take(&mut disk.cached);
        if chance.below(100) < percent {
            disk.durable.resize(whole(disk.cached_len), 0);
        }
        for (sector, bytes) in cached {
            let at = sector * SECTOR;
            if chance.below(100) < percent && at + SECTOR <= disk.durable.len() {
                disk.durable[at..at + SECTOR].copy_from_slice(&bytes);
            }
        }
        disk.cached_len = disk.durable.len() as u64;
        disk.steps_left = steps;
    }

    /// Whether the power is still on.
    pub fn has_power(&self) -> bool {
        self.lock().steps_left > 0
    }

    fn lock(&self) -> MutexGuard<'_, Platters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Platters {
    fn step(&mut self) -> io::Result<()> {
        self.powered()?;
        self.steps_left -= 1;
        Ok(())
    }

    fn powered(&self) -> io::Result<()> {
        if self.steps_left == 0 {
            return Err(io::Error::other("the power is gone"));
        }
        Ok(())
    }

    fn sector(&self, sector: usize) -> [u8; SECTOR] {
        if let Some(bytes) = self.cached.get(&sector) {
            return *bytes;
        }
        let mut bytes = [0; SECTOR];
        let at = (sector * SECTOR).min(self.durable.len());
        let end = (at + SECTOR).min(self.durable.len());
        bytes[..end - at].copy_from_slice(&self.durable[at..end]);
        bytes
    }
}

/// The parts of a range by sector: `(sector, from, done, length)`.
fn parts(offset: usize, len: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done;
        let (sector, from) = (at / SECTOR, at % SECTOR);
        let take = (SECTOR - from).min(len - done);
        done += take;
        (take > 0).then_some((sector, from, done - take, take))
    })
}

fn whole(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().cached_len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.lock();
        disk.powered()?;
        let offset = whole(offset);
        assert!(offset + out.len() <= whole(disk.cached_len), "read beyond the end");
        for (sector, from, done, len) in parts(offset, out.len()) {
            out[done..done + len].copy_from_slice(&disk.sector(sector)[from..from + len]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.lock();
        disk.step()?;
        disk.cached_len = len;
        let keep = whole(len).div_ceil(SECTOR);
        disk.cached.retain(|sector, _| *sector < keep);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let disk = &mut *self.lock();
        disk.step()?;
        if disk.lies {
            return Ok(());
        }
        let len = whole(disk.cached_len);
        disk.durable.resize(len, 0);
        for (sector, bytes) in std::mem::take(&mut disk.cached) {
            let at = sector * SECTOR;
            let end = (at + SECTOR).min(len);
            disk.durable[at..end].copy_from_slice(&bytes[..end - at]);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.lock();
        disk.step()?;
        for (sector, from, done, len) in parts(whole(offset), data.len()) {
            let mut bytes = disk.sector(sector);
            bytes[from..from + len].copy_from_slice(&data[done..done + len]);
            disk.cached.insert(sector, bytes);
        }
        Ok(())
    }
}
