//! Doubly linked lists of table entries, by index.
//!
//! A table keeps one [`Link`] an entry; any number of [`List`]s thread through it
//! as long as no entry is in two at once. Indices instead of pointers: the tables
//! are plain vectors, nothing here is `unsafe`, and nothing here allocates.
//!
//! An entry's link means nothing while the entry is in no list, so a table need
//! not be initialised before its entries are used.

/// No entry.
pub const NIL: u32 = u32::MAX;

/// The neighbours of an entry: `[previous, next]`. An array, so that a zeroed
/// vector of them costs nothing until it is touched.
pub type Link = [u32; 2];

const PREV: usize = 0;
const NEXT: usize = 1;

/// A list of entries of some table of links.
#[derive(Debug, Clone, Copy)]
pub struct List {
    head: u32,
    tail: u32,
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

impl List {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self { head: NIL, tail: NIL }
    }

    /// Whether nothing is in the list.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.head == NIL
    }

    /// The first entry.
    #[must_use]
    pub const fn front(&self) -> Option<u32> {
        if self.head == NIL { None } else { Some(self.head) }
    }

    /// The last entry.
    #[must_use]
    pub const fn back(&self) -> Option<u32> {
        if self.tail == NIL { None } else { Some(self.tail) }
    }

    /// The entry after `at`.
    #[must_use]
    pub fn next(links: &[Link], at: u32) -> Option<u32> {
        let next = links[at as usize][NEXT];
        (next != NIL).then_some(next)
    }

    /// The entry before `at`.
    #[must_use]
    pub fn prev(links: &[Link], at: u32) -> Option<u32> {
        let prev = links[at as usize][PREV];
        (prev != NIL).then_some(prev)
    }

    /// Puts `entry` first.
    pub fn push_front(&mut self, links: &mut [Link], entry: u32) {
        links[entry as usize] = [NIL, self.head];
        match self.front() {
            Some(head) => links[head as usize][PREV] = entry,
            None => self.tail = entry,
        }
        self.head = entry;
    }

    /// Puts `entry` right after `at`, or first where `at` is `None`.
    pub fn insert_after(&mut self, links: &mut [Link], at: Option<u32>, entry: u32) {
        let Some(at) = at else {
            return self.push_front(links, entry);
        };
        let next = links[at as usize][NEXT];
        links[entry as usize] = [at, next];
        links[at as usize][NEXT] = entry;
        if next == NIL {
            self.tail = entry;
        } else {
            links[next as usize][PREV] = entry;
        }
    }

    /// Takes `entry`, which must be in this list, out of it.
    pub fn remove(&mut self, links: &mut [Link], entry: u32) {
        let [prev, next] = links[entry as usize];
        if prev == NIL {
            debug_assert_eq!(self.head, entry);
            self.head = next;
        } else {
            links[prev as usize][NEXT] = next;
        }
        if next == NIL {
            debug_assert_eq!(self.tail, entry);
            self.tail = prev;
        } else {
            links[next as usize][PREV] = prev;
        }
    }

    /// Takes the first entry out.
    pub fn pop_front(&mut self, links: &mut [Link]) -> Option<u32> {
        let head = self.front()?;
        self.remove(links, head);
        Some(head)
    }

    /// The entries, first to last.
    pub fn iter<'a>(&self, links: &'a [Link]) -> impl Iterator<Item = u32> + use<'a> {
        std::iter::successors(self.front(), |&at| Self::next(links, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_out_as_they_were_put_in() {
        let mut links = vec![[0; 2]; 5];
        let mut list = List::new();
        list.push_front(&mut links, 3);
        list.insert_after(&mut links, Some(3), 1);
        list.insert_after(&mut links, None, 4);
        list.insert_after(&mut links, Some(3), 0);
        assert_eq!(list.iter(&links).collect::<Vec<_>>(), [4, 3, 0, 1]);
        list.remove(&mut links, 3);
        list.remove(&mut links, 1);
        assert_eq!(list.back(), Some(0));
        assert_eq!(list.pop_front(&mut links), Some(4));
        assert_eq!(list.pop_front(&mut links), Some(0));
        assert_eq!(list.pop_front(&mut links), None);
        assert!(list.is_empty());
    }
}
