//! A summary of the bitmap of used quanta, by which the leftmost aligned run is found in
//! O(log n).
//!
//! The leaves are blocks of 512 quanta, a cache line of the bitmap; a node at height `h` covers
//! 2^h of them. Blocks and nodes lie at multiples of their size, by *position* (address divided
//! by the quantum), so that what is aligned in a node is aligned. Of each node is known
//!
//! - how many quanta are free at its beginning and at its end, and
//! - for each alignment 2^k up to its size, how many quanta the longest free run has that starts
//!   at a multiple of it.
//!
//! Two halves give the whole: the longest run from a multiple of 2^k is the left half's, the
//! right half's, or the one that crosses: as much of the left half's end as begins at a multiple,
//! if any, and the right half's beginning. What is aligned to more than a node's size can only
//! start where the node does.
//!
//! # Lazily
//!
//! Whoever takes and gives marks the blocks that changed, and no more ([`Tree::touch`]). Who
//! searches first brings these and the nodes above them up to date.
//!
//! All numbers are kept as what is missing from the node's size, so that zeroed memory says that
//! all is free, and a new tree costs nothing but the nodes above its first and its last block: at
//! these the space begins and ends, and what is outside it is used.
//!
//! # Invariants
//!
//! 1. A node none of whose blocks is marked says what is true of the bitmap.
//! 2. There are at most two nodes at the greatest height.

use super::map::{USED, Word};
use super::marks::Marks;

/// Quanta a block has, as a power of two.
const BLOCK_LOG: u32 = 9;
pub(super) const BLOCK: u32 = 1 << BLOCK_LOG;
const WORDS: usize = BLOCK as usize / 64;
/// Heights: the nodes of 2^31 quanta are no more than two at height 22.
const HEIGHTS: usize = 23;

const PREFIX: usize = 0;
const SUFFIX: usize = 1;
const BEST: usize = 2;

#[derive(Debug)]
pub(super) struct Tree {
    /// The number of the first block, counted from position 0.
    first: u64,
    /// The number of the last block.
    last: u64,
    top: u32,
    nodes: Vec<u32>,
    /// Where the nodes of each height begin.
    at: [usize; HEIGHTS],
    /// Blocks that changed, counted from the first.
    changed: Marks,
    /// Whether the nodes above the first and the last block were made, which have less below them
    /// than others.
    is_begun: bool,
}

/// A node, its numbers as they are meant.
#[derive(Clone, Copy)]
struct Node<'a> {
    height: u32,
    /// Its number among those of its height.
    number: u64,
    /// `None`: it is outside.
    lacks: Option<&'a [u32]>,
}

impl Node<'_> {
    fn log(self) -> u32 {
        BLOCK_LOG + self.height
    }

    fn size(self) -> u64 {
        1 << self.log()
    }

    fn start(self) -> u64 {
        self.number << self.log()
    }

    fn number_at(self, index: usize) -> u64 {
        self.lacks.map_or(0, |lacks| self.size() - u64::from(lacks[index]))
    }

    fn prefix(self) -> u64 {
        self.number_at(PREFIX)
    }

    fn suffix(self) -> u64 {
        self.number_at(SUFFIX)
    }

    /// The longest run from a multiple of 2^log on.
    fn best(self, log: u32) -> u64 {
        if log <= self.log() {
            self.number_at(BEST + log as usize)
        } else if self.start() & ((1 << log) - 1) == 0 {
            self.prefix()
        } else {
            0
        }
    }

    /// Where the free run starts that ends where this node does, if `begun` is where the one
    /// starts that ends where this node starts.
    fn run_at_end(self, begun: u64) -> u64 {
        if self.prefix() == self.size() { begun } else { self.start() + self.size() - self.suffix() }
    }
}

const fn stride(height: u32) -> usize {
    // A number for each alignment up to the size, 2^0 included.
    BEST + (BLOCK_LOG + height) as usize + 1
}

fn round_up(position: u64, log: u32) -> u64 {
    (position + ((1 << log) - 1)) & !((1 << log) - 1)
}

/// The height of the tallest nodes, where the nodes of each height begin, and how many words they
/// have in all.
fn layout(first: u64, last: u64) -> (u32, [usize; HEIGHTS], usize) {
    let (mut at, mut words, mut height) = ([0; HEIGHTS], 0, 0);
    loop {
        at[height as usize] = words;
        let count = (last >> height) - (first >> height) + 1;
        words += count as usize * stride(height);
        if count <= 2 {
            return (height, at, words);
        }
        height += 1;
    }
}

impl Tree {
    /// How many bytes a tree over these blocks takes.
    pub(super) fn bytes(first: u64, blocks: usize) -> usize {
        let (_, _, words) = layout(first, first + blocks as u64 - 1);
        words * size_of::<u32>() + Marks::bytes(blocks)
    }

    /// Over `blocks` blocks, from the one of that number on. All are free, but for what the
    /// bitmap says of the first and the last.
    pub(super) fn new(first: u64, blocks: usize) -> Self {
        let last = first + blocks as u64 - 1;
        let (top, at, words) = layout(first, last);
        let mut changed = Marks::new(blocks);
        changed.insert(0);
        changed.insert(blocks as u32 - 1);
        Self { first, last, top, nodes: vec![0; words], at, changed, is_begun: false }
    }

    /// The bitmap is about to change in this block, counted from the first.
    #[inline]
    pub(super) fn touch(&mut self, block: u32) {
        self.changed.insert(block);
    }

    fn index(&self, height: u32, number: u64) -> Option<usize> {
        let first = self.first >> height;
        (first..=self.last >> height)
            .contains(&number)
            .then(|| self.at[height as usize] + (number - first) as usize * stride(height))
    }

    fn node(&self, height: u32, number: u64) -> Node<'_> {
        let lacks = self.index(height, number).map(|at| &self.nodes[at..at + stride(height)]);
        Node { height, number, lacks }
    }

    /// Brings what changed up to date.
    fn clean(&mut self, map: &[Word]) {
        let mut before: Option<u32> = None;
        let mut from = 0;
        while let Some(block) = self.changed.next(from) {
            self.changed.remove(block);
            from = block;
            // Most changes change nothing that is known of the block.
            if self.summarise(block, map) || !self.is_begun {
                if let Some(before) = before {
                    self.merge_above(before, Some(block));
                }
                before = Some(block);
            }
        }
        if let Some(before) = before {
            self.merge_above(before, None);
        }
        self.is_begun = true;
    }

    /// A block anew from the bitmap; whether that is news.
    fn summarise(&mut self, block: u32, map: &[Word]) -> bool {
        let mut anew = [BLOCK; stride(0)];
        let first = block as usize * WORDS;
        for (start, end) in Gaps::of(&map[first..first + WORDS], 0) {
            if start == 0 {
                anew[PREFIX] = BLOCK - end;
            }
            if end == BLOCK {
                anew[SUFFIX] = start;
            }
            for (log, lacks) in anew[BEST..].iter_mut().enumerate() {
                let aligned = round_up(u64::from(start), log as u32) as u32;
                if aligned >= end {
                    break;
                }
                *lacks = (*lacks).min(BLOCK - (end - aligned));
            }
        }
        let at = block as usize * stride(0);
        let lacks = &mut self.nodes[at..at + stride(0)];
        let is_news = *lacks != anew;
        lacks.copy_from_slice(&anew);
        is_news
    }

    /// The nodes above `block` anew, up to the first that is above `next` too, if there is one.
    fn merge_above(&mut self, block: u32, next: Option<u32>) {
        let (block, next) = (self.first + u64::from(block), next.map(|next| self.first + u64::from(next)));
        for height in 1..=self.top {
            let number = block >> height;
            if next.is_some_and(|next| next >> height == number) {
                return;
            }
            let mut merged = [0; stride(HEIGHTS as u32)];
            let (left, right) = (self.node(height - 1, number * 2), self.node(height - 1, number * 2 + 1));
            let size = left.size() * 2;
            let lacks = |has: u64| (size - has) as u32;
            let (suffix, prefix) = (left.suffix(), right.prefix());
            let whole_prefix =
                if left.prefix() == left.size() { left.size() + prefix } else { left.prefix() };
            merged[PREFIX] = lacks(whole_prefix);
            merged[SUFFIX] =
                lacks(if right.suffix() == right.size() { right.size() + suffix } else { right.suffix() });
            for log in 0..=left.log() {
                let aligned = suffix >> log << log;
                let crossing = if aligned == 0 { 0 } else { aligned + prefix };
                merged[BEST + log as usize] = lacks(left.best(log).max(right.best(log)).max(crossing));
            }
            merged[BEST + left.log() as usize + 1] = lacks(whole_prefix);
            let at = self.index(height, number).expect("above a block");
            self.nodes[at..at + stride(height)].copy_from_slice(&merged[..stride(height)]);
        }
    }

    /// The first position, not before `from`, which is inside, that is a multiple of 2^log and at
    /// which `len` quanta are free.
    pub(super) fn first_fit(&mut self, map: &[Word], from: u64, len: u32, log: u32) -> Option<u64> {
        self.clean(map);
        let len = u64::from(len);
        let block = from >> BLOCK_LOG;
        // Where the free run starts that ends where we are.
        let mut begun = from;
        if let Some(found) = self.scan(map, block, &mut begun, len, log) {
            return Some(found);
        }
        let (mut height, mut number) = (0, block + 1);
        loop {
            while height < self.top && number & 1 == 0 {
                (height, number) = (height + 1, number >> 1);
            }
            if number > self.last >> height {
                return None;
            }
            let node = self.node(height, number);
            let start = round_up(begun, log);
            if start + len <= node.start() + node.prefix() {
                return Some(start);
            }
            if node.best(log) >= len {
                return self.descend(map, node, begun, len, log);
            }
            begun = node.run_at_end(begun);
            number += 1;
        }
    }

    /// As [`first_fit`](Self::first_fit), in a node that has what is sought, but not at its
    /// beginning. `begun`: where the free run starts that ends where the node starts.
    fn descend(&self, map: &[Word], node: Node<'_>, begun: u64, len: u64, log: u32) -> Option<u64> {
        let (mut node, mut begun) = (node, begun);
        while node.height > 0 {
            let left = self.node(node.height - 1, node.number * 2);
            node = if left.best(log) >= len {
                left
            } else {
                begun = left.run_at_end(begun);
                let right = self.node(left.height, left.number + 1);
                let start = round_up(begun, log);
                if start + len <= right.start() + right.prefix() {
                    return Some(start);
                }
                right
            };
        }
        self.scan(map, node.number, &mut begun, len, log)
    }

    /// As [`first_fit`](Self::first_fit), in one block from `begun` on, where a free run may have
    /// begun before the block does. `begun` becomes where the one starts that ends with the block.
    fn scan(&self, map: &[Word], block: u64, begun: &mut u64, len: u64, log: u32) -> Option<u64> {
        let words = (block - self.first) as usize * WORDS;
        let base = block << BLOCK_LOG;
        let from = begun.saturating_sub(base);
        let before = *begun;
        *begun = base + u64::from(BLOCK);
        for (start, end) in Gaps::of(&map[words..words + WORDS], from as u32) {
            let start = if u64::from(start) == from { before } else { base + u64::from(start) };
            let aligned = round_up(start, log);
            if aligned + len <= base + u64::from(end) {
                return Some(aligned);
            }
            if end == BLOCK {
                *begun = start;
            }
        }
        None
    }

    /// How many quanta the longest free run has that starts at a multiple of 2^log.
    pub(super) fn longest(&mut self, map: &[Word], log: u32) -> u64 {
        self.clean(map);
        let (mut longest, mut begun) = (0, self.first << BLOCK_LOG);
        for number in self.first >> self.top..=self.last >> self.top {
            let node = self.node(self.top, number);
            let crossing = (node.start() + node.prefix()).saturating_sub(round_up(begun, log));
            longest = longest.max(node.best(log)).max(crossing);
            begun = node.run_at_end(begun);
        }
        longest
    }

    /// Invariant 1, against a tree that is made anew.
    #[cfg(all(test, not(loom)))]
    pub(super) fn check(&self, map: &[Word]) {
        let blocks = (self.last - self.first + 1) as u32;
        let mut anew = Self::new(self.first, blocks as usize);
        (0..blocks).for_each(|block| anew.touch(block));
        anew.clean(map);
        for height in 0..=self.top {
            for number in self.first >> height..=self.last >> height {
                let begin = (number << height).max(self.first) - self.first;
                let end = ((number + 1) << height).min(self.last + 1) - self.first;
                let stale = self.changed.next(begin as u32).is_some_and(|block| u64::from(block) < end);
                assert!(
                    stale || self.node(height, number).lacks == anew.node(height, number).lacks,
                    "node {number} at height {height}"
                );
            }
        }
    }
}

/// The runs of quanta in some words that are not used, as start and end, in order.
pub(super) struct Gaps<'a> {
    words: &'a [Word],
    at: u32,
}

impl<'a> Gaps<'a> {
    /// From bit `from` on.
    pub(super) fn of(words: &'a [Word], from: u32) -> Self {
        Self { words, at: from }
    }
}

impl Iterator for Gaps<'_> {
    type Item = (u32, u32);

    fn next(&mut self) -> Option<(u32, u32)> {
        let count = self.words.len();
        let start = next_bit(|word| !self.words[word][USED], self.at, count)?;
        let end = next_bit(|word| self.words[word][USED], start, count).unwrap_or(count as u32 * 64);
        self.at = end;
        Some((start, end))
    }
}

/// The first bit that is set from bit `from` on, of so many words.
pub(super) fn next_bit(word: impl Fn(usize) -> u64, from: u32, count: usize) -> Option<u32> {
    let mut at = from as usize / 64;
    let mut mask = u64::MAX << (from % 64);
    while at < count {
        let bits = word(at) & mask;
        if bits != 0 {
            return Some(at as u32 * 64 + bits.trailing_zeros());
        }
        (at, mask) = (at + 1, u64::MAX);
    }
    None
}
