//! Sets of classes.

use std::sync::Arc;

/// A set of classes by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassSet(Arc<Vec<u64>>);

const BITS: usize = 64;

/// The word and the bit of a class.
fn place(class: u32) -> (usize, u64) {
    let class = usize::try_from(class).unwrap_or(usize::MAX);
    (class / BITS, 1 << (class % BITS))
}

impl ClassSet {
    /// The first so many classes.
    pub fn first(classes: usize) -> Self {
        let mut words = vec![u64::MAX; classes / BITS];
        if !classes.is_multiple_of(BITS) {
            words.push((1 << (classes % BITS)) - 1);
        }
        Self(Arc::new(words))
    }

    /// Whether a class is in it.
    pub fn contains(&self, class: u32) -> bool {
        let (word, bit) = place(class);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Puts a class in.
    pub fn insert(&mut self, class: u32) {
        let (word, bit) = place(class);
        let words = Arc::make_mut(&mut self.0);
        if words.len() <= word {
            words.resize(word + 1, 0);
        }
        words[word] |= bit;
    }

    /// Takes a class out.
    pub fn remove(&mut self, class: u32) {
        let (word, bit) = place(class);
        if let Some(word) = Arc::make_mut(&mut self.0).get_mut(word) {
            *word &= !bit;
        }
    }

    /// Whether no class is in it.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// How many classes are in it.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The classes by number.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            let base = u32::try_from(at * BITS).unwrap_or(u32::MAX);
            std::iter::successors(Some(*word), |left| Some(left & left.wrapping_sub(1)))
                .take_while(|left| *left != 0)
                .map(move |left| base + left.trailing_zeros())
        })
    }

    /// Whether any class is in both.
    pub fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0.iter()).any(|(a, b)| a & b != 0)
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(Arc::new(self.0.iter().zip(other.0.iter()).map(|(a, b)| a & b).collect()))
    }

    /// Those that are in one of both.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let (long, short) =
            if self.0.len() < other.0.len() { (other, self) } else { (self, other) };
        let mut words = Vec::clone(&long.0);
        for (word, more) in words.iter_mut().zip(short.0.iter()) {
            *word |= more;
        }
        Self(Arc::new(words))
    }

    /// Those that are in this one only.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut words = Vec::clone(&self.0);
        for (word, less) in words.iter_mut().zip(other.0.iter()) {
            *word &= !less;
        }
        Self(Arc::new(words))
    }
}
