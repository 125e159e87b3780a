//! Instances in the order of what they have left, so that the fullest one that still fits is found
//! without a look at the others.
//!
//! Entries stand in sorted chunks. Each chunk tells the most that any of its entries has left of what
//! it is not sorted by, so that whole chunks are passed over. A copy shares all chunks; a change copies
//! the one chunk that it is in.

use std::sync::Arc;

use imbl::Vector;

/// The most entries of a chunk.
const CHUNK: usize = 64;

/// An instance, and what it has left. It is ordered by what it has left of the first resource, the
/// least first; among equals by the second, the most first; then by its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    first: u32,
    // Counted down, so that the derived order is the wanted one.
    second: u32,
    tag: u64,
    /// Which instance.
    pub slot: u32,
    /// Of which class it is.
    pub class: u32,
    /// How many GPUs no task holds.
    pub gpus: u32,
}

impl Entry {
    /// An entry with so much left of the two resources.
    pub const fn new(first: u32, second: u32, gpus: u32, tag: u64, slot: u32, class: u32) -> Self {
        Self { first, second: u32::MAX - second, tag, slot, class, gpus }
    }

    /// What it has left of what it is ordered by.
    pub const fn first(&self) -> u32 {
        self.first
    }

    /// What it has left of the other resource.
    pub const fn second(&self) -> u32 {
        u32::MAX - self.second
    }

    /// What decides among those that have equally much left.
    pub const fn tag(&self) -> u64 {
        self.tag
    }

    const fn at(first: u32) -> Self {
        Self { first, second: 0, tag: 0, slot: 0, class: 0, gpus: 0 }
    }
}

/// What an entry must have left to be looked at.
#[derive(Clone, Copy, Debug)]
pub struct AtLeast {
    /// Of what the order is by.
    pub first: u32,
    /// Of the other resource.
    pub second: u32,
    /// GPUs.
    pub gpus: u32,
}

impl AtLeast {
    fn met_by(self, entry: &Entry) -> bool {
        entry.first >= self.first && entry.second() >= self.second && entry.gpus >= self.gpus
    }
}

#[derive(Clone, Debug)]
struct Chunk {
    low: Entry,
    most_second: u32,
    most_gpus: u32,
    // Never empty.
    entries: Arc<Vec<Entry>>,
}

impl Chunk {
    fn of(entries: Vec<Entry>) -> Option<Self> {
        Some(Self {
            low: *entries.first()?,
            most_second: entries.iter().map(Entry::second).max()?,
            most_gpus: entries.iter().map(|entry| entry.gpus).max()?,
            entries: Arc::new(entries),
        })
    }

    /// Tells its summary anew after its entries have changed.
    fn sum_up(&mut self) {
        let (mut second, mut gpus) = (u32::MAX, 0);
        for entry in self.entries.iter() {
            second = second.min(entry.second);
            gpus = gpus.max(entry.gpus);
        }
        (self.most_second, self.most_gpus) = (u32::MAX - second, gpus);
        if let Some(low) = self.entries.first() {
            self.low = *low;
        }
    }

    fn may_meet(&self, wanted: AtLeast) -> bool {
        self.most_second >= wanted.second && self.most_gpus >= wanted.gpus
    }
}

/// Instances in one order.
#[derive(Clone, Debug, Default)]
pub struct Order {
    chunks: Vector<Chunk>,
    // What the first entry of each chunk has left of the first resource: most of a search stays here.
    firsts: Arc<Vec<u32>>,
    len: usize,
}

impl Order {
    /// How many instances are in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Of how many chunks it consists.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// The chunk in which an entry is, or would be.
    fn seek(&self, entry: &Entry) -> usize {
        let mut low = self.firsts.partition_point(|first| *first < entry.first);
        let more = self.firsts.get(low..).unwrap_or_default();
        let mut high = low + more.partition_point(|first| *first == entry.first);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.chunks[middle].low <= *entry { low = middle + 1 } else { high = middle }
        }
        low.saturating_sub(1)
    }

    /// The first entry of a chunk may be another one now.
    fn note(&mut self, at: usize) {
        if let Some(chunk) = self.chunks.get(at)
            && self.firsts.get(at) != Some(&chunk.low.first)
            && let Some(first) = Arc::make_mut(&mut self.firsts).get_mut(at)
        {
            *first = chunk.low.first;
        }
    }

    /// Puts an entry in.
    pub(crate) fn insert(&mut self, entry: Entry) {
        self.len += 1;
        let at = self.seek(&entry);
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.extend(Chunk::of(vec![entry]));
            self.firsts = Arc::new(vec![entry.first]);
            return;
        };
        let entries = Arc::make_mut(&mut chunk.entries);
        let place = entries.partition_point(|other| *other < entry);
        entries.insert(place, entry);
        if entries.len() <= CHUNK {
            chunk.most_second = chunk.most_second.max(entry.second());
            chunk.most_gpus = chunk.most_gpus.max(entry.gpus);
            if place == 0 {
                chunk.low = entry;
                self.note(at);
            }
            return;
        }
        let upper = entries.split_off(CHUNK / 2);
        chunk.sum_up();
        if let Some(upper) = Chunk::of(upper) {
            Arc::make_mut(&mut self.firsts).insert(at + 1, upper.low.first);
            self.chunks.insert(at + 1, upper);
        }
        self.note(at);
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, entry: &Entry) {
        let at = self.seek(entry);
        let Some(chunk) = self.chunks.get_mut(at) else {
            return;
        };
        let Ok(place) = chunk.entries.binary_search(entry) else {
            return;
        };
        self.len -= 1;
        let entries = Arc::make_mut(&mut chunk.entries);
        entries.remove(place);
        if entries.is_empty() {
            self.chunks.remove(at);
            Arc::make_mut(&mut self.firsts).remove(at);
            return;
        }
        let few = entries.len() < CHUNK / 4;
        let most = entry.second() == chunk.most_second || entry.gpus == chunk.most_gpus;
        if most || place == 0 {
            chunk.sum_up();
            self.note(at);
        }
        if few {
            self.merge(at);
        }
    }

    /// Puts an entry in the place of another one.
    pub(crate) fn replace(&mut self, before: &Entry, after: Entry) {
        let at = self.seek(before);
        let last = self.chunks.get(at + 1).is_none_or(|next| after < next.low);
        let Some(chunk) = self.chunks.get_mut(at).filter(|chunk| last && after >= chunk.low) else {
            self.remove(before);
            self.insert(after);
            return;
        };
        // Most often it stays in its chunk.
        let Ok(from) = chunk.entries.binary_search(before) else {
            self.insert(after);
            return;
        };
        let entries = Arc::make_mut(&mut chunk.entries);
        let to = entries.partition_point(|other| *other < after);
        if to > from {
            entries.copy_within(from + 1..to, from);
            entries[to - 1] = after;
        } else {
            entries.copy_within(to..from, to + 1);
            entries[to] = after;
        }
        chunk.sum_up();
        self.note(at);
    }

    /// Joins a chunk of few entries with the one after it, so that sparse chunks do not gather.
    fn merge(&mut self, at: usize) {
        let together = |order: &Self| {
            Some(order.chunks.get(at)?.entries.len() + order.chunks.get(at + 1)?.entries.len())
        };
        if together(self).is_none_or(|entries| entries > CHUNK * 3 / 4) {
            return;
        }
        let upper = self.chunks.remove(at + 1);
        Arc::make_mut(&mut self.firsts).remove(at + 1);
        if let Some(chunk) = self.chunks.get_mut(at) {
            Arc::make_mut(&mut chunk.entries).extend(upper.entries.iter());
            chunk.sum_up();
        }
    }

    /// Those that have enough left, the fullest first.
    pub fn ascending(&self, wanted: AtLeast) -> impl Iterator<Item = &Entry> {
        let start = self.seek(&Entry::at(wanted.first));
        (start..self.chunks.len())
            .filter_map(|at| self.chunks.get(at))
            .filter(move |chunk| chunk.may_meet(wanted))
            .flat_map(|chunk| chunk.entries.iter())
            .filter(move |entry| wanted.met_by(entry))
    }

    /// Those that have enough left, the emptiest first; those that have equally much of the first
    /// resource stand in their usual order.
    pub fn descending(&self, wanted: AtLeast) -> Descending<'_> {
        let end = self.chunks.len();
        Descending { order: self, wanted, start: (end, 0), at: (end, 0), end: (end, 0) }
    }

    /// The part of it in which those are that have enough of the first resource.
    pub fn reach(&self, wanted: AtLeast) -> Reach<'_> {
        let start = self.seek(&Entry::at(wanted.first)).min(self.chunks.len());
        Reach { order: self, wanted, start, chunks: self.chunks.len() - start }
    }

    /// How many have less left of the first resource.
    pub fn below(&self, first: u32) -> usize {
        let at = self.seek(&Entry::at(first));
        let whole: usize = self.chunks.iter().take(at).map(|chunk| chunk.entries.len()).sum();
        let part = self.chunks.get(at);
        whole + part.map_or(0, |chunk| chunk.entries.partition_point(|entry| entry.first < first))
    }
}

/// The part of an order in which those are that have enough of the first resource: some of its
/// first chunk may have less.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    order: &'a Order,
    wanted: AtLeast,
    start: usize,
    chunks: usize,
}

impl<'a> Reach<'a> {
    /// How many places it has, taken or not.
    pub const fn places(&self) -> usize {
        self.chunks * CHUNK
    }

    /// The entry in a place, if there is one and it has enough left.
    pub fn entry(&self, place: usize) -> Option<&'a Entry> {
        let entry =
            self.order.chunks.get(self.start + place / CHUNK)?.entries.get(place % CHUNK)?;
        self.wanted.met_by(entry).then_some(entry)
    }
}

/// See [`Order::descending`]. It goes run by run: those with equally much left are a run.
#[derive(Debug)]
pub struct Descending<'a> {
    order: &'a Order,
    wanted: AtLeast,
    // The run: its first place, the next one to tell, and the first after it.
    start: (usize, usize),
    at: (usize, usize),
    end: (usize, usize),
}

impl<'a> Descending<'a> {
    /// Finds the run before the present one.
    fn previous(&mut self) -> Option<()> {
        let chunks = &self.order.chunks;
        let last = match self.start {
            (0, 0) => return None,
            (chunk, 0) => (chunk - 1, chunks.get(chunk - 1)?.entries.len() - 1),
            (chunk, place) => (chunk, place - 1),
        };
        let first = chunks.get(last.0)?.entries.get(last.1)?.first;
        if first < self.wanted.first {
            return None;
        }
        self.end = self.start;
        let chunk = chunks.get(last.0)?;
        let place = chunk.entries[..=last.1].iter().rposition(|entry| entry.first != first);
        self.start = match place {
            Some(place) => (last.0, place + 1),
            // It may begin in an earlier chunk.
            None => {
                let at = self.order.seek(&Entry::at(first));
                let entries = &chunks.get(at)?.entries;
                match entries.partition_point(|entry| entry.first < first) {
                    place if place == entries.len() => (at + 1, 0),
                    place => (at, place),
                }
            }
        };
        self.at = self.start;
        Some(())
    }
}

impl<'a> Iterator for Descending<'a> {
    type Item = &'a Entry;

    fn next(&mut self) -> Option<&'a Entry> {
        loop {
            if self.at == self.end {
                self.previous()?;
                continue;
            }
            let chunk = self.order.chunks.get(self.at.0)?;
            if !chunk.may_meet(self.wanted) || self.at.1 >= chunk.entries.len() {
                // To the next chunk of the run, or to its end.
                self.at = if self.at.0 < self.end.0 { (self.at.0 + 1, 0) } else { self.end };
                continue;
            }
            let entry = &chunk.entries[self.at.1];
            self.at.1 += 1;
            if self.at.1 == chunk.entries.len() && (self.at.0, self.at.1) != self.end {
                self.at = (self.at.0 + 1, 0);
            }
            if self.wanted.met_by(entry) {
                return Some(entry);
            }
        }
    }
}
