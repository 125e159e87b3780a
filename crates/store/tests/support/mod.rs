//! A disk whose power fails: a storage for redb that keeps unsynced writes apart and, when it is
//! told to, loses a random part of them, sector by sector.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;
use stdx::{Entropy, SeededEntropy};

const SECTOR: usize = 512;

/// What the platters hold, and what is still on its way there.
#[derive(Debug)]
pub(crate) struct Disk {
    durable: Vec<u8>,
    cached: BTreeMap<usize, [u8; SECTOR]>,
    cached_len: u64,
    steps_left: u64,
    lies: bool,
}

/// A handle that redb owns; the test keeps another.
#[derive(Clone, Debug)]
pub(crate) struct Handle(pub(crate) Arc<Mutex<Disk>>);

impl Disk {
    /// An empty disk on which `steps` more operations succeed.
    pub(crate) fn with_power_for(steps: u64) -> Self {
        Self {
            durable: Vec::new(),
            cached: BTreeMap::new(),
            cached_len: 0,
            steps_left: steps,
            lies: false,
        }
    }

    /// Makes every sync answer without syncing, so that the checker can be seen to bite.
    pub(crate) fn lie(&mut self) {
        self.lies = true;
    }

    /// The power is back: of what was not synced, each sector is there with `percent` chance.
    pub(crate) fn reboot(&mut self, percent: u64, steps: u64, chance: &mut SeededEntropy) {
        let cached = std::mem::take(&mut self.cached);
        let grown = chance.below(100) < percent;
        if grown {
            self.durable.resize(usize::try_from(self.cached_len).unwrap(), 0);
        }
        for (sector, bytes) in cached {
            let at = sector * SECTOR;
            if chance.below(100) < percent && at + SECTOR <= self.durable.len() {
                self.durable[at..at + SECTOR].copy_from_slice(&bytes);
            }
        }
        self.cached_len = self.durable.len() as u64;
        self.steps_left = steps;
    }

    /// Whether the power is still on.
    pub(crate) fn sync_possible(&self) -> bool {
        self.steps_left > 0
    }

    fn step(&mut self) -> io::Result<()> {
        if self.steps_left == 0 {
            return Err(io::Error::other("the power is gone"));
        }
        self.steps_left -= 1;
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

    fn each_sector(&mut self, offset: usize, len: usize, mut work: impl FnMut(&mut [u8], usize)) {
        let mut done = 0;
        while done < len {
            let at = offset + done;
            let (sector, start) = (at / SECTOR, at % SECTOR);
            let take = (SECTOR - start).min(len - done);
            let mut bytes = self.sector(sector);
            work(&mut bytes[start..start + take], done);
            self.cached.insert(sector, bytes);
            done += take;
        }
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().cached_len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.lock().unwrap();
        if disk.steps_left == 0 {
            return Err(io::Error::other("the power is gone"));
        }
        let offset = usize::try_from(offset).unwrap();
        assert!((offset + out.len()) as u64 <= disk.cached_len, "read beyond the end");
        let mut done = 0;
        while done < out.len() {
            let at = offset + done;
            let (sector, start) = (at / SECTOR, at % SECTOR);
            let take = (SECTOR - start).min(out.len() - done);
            out[done..done + take].copy_from_slice(&disk.sector(sector)[start..start + take]);
            done += take;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.step()?;
        disk.cached_len = len;
        let keep = usize::try_from(len).unwrap().div_ceil(SECTOR);
        disk.cached.retain(|sector, _| *sector < keep);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.step()?;
        if disk.lies {
            return Ok(());
        }
        let len = usize::try_from(disk.cached_len).unwrap();
        disk.durable.resize(len, 0);
        for (sector, bytes) in std::mem::take(&mut disk.cached) {
            let at = sector * SECTOR;
            let end = (at + SECTOR).min(len);
            disk.durable[at..end].copy_from_slice(&bytes[..end - at]);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.step()?;
        let offset = usize::try_from(offset).unwrap();
        disk.each_sector(offset, data.len(), |part, done| {
            part.copy_from_slice(&data[done..done + part.len()]);
        });
        Ok(())
    }
}
