//! A hierarchical timer wheel: O(1) insert and cancel, no scan of what is not due.
//!
//! Owns deadlines and the items that wait for them. It must not know what an
//! item means, and it never asks for the time: [`Wheel::advance`] is told.
//!
//! The scheme is the hierarchical wheel of Varghese and Lauck ("Hashed and
//! Hierarchical Timing Wheels", SOSP 1987, scheme 7) with 64 slots per level.
//! A timer lies on the level of the highest group of six bits in which its
//! deadline differs from the wheel's time, so every timer of a lower level is
//! due before every timer of a higher one, a slot never wraps around, and a
//! bitmap per level finds the next occupied slot in one instruction however
//! far the time jumps.

const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
/// Eleven groups of six bits cover all 64 bits of a deadline.
const LEVELS: usize = 11;
/// The list of timers whose deadline had passed when they were inserted. It
/// follows the lists of the levels.
const OVERDUE: usize = LEVELS * SLOTS;
const NONE: u32 = u32::MAX;

/// Names one timer for ever (generation-checked): cancelling a timer that has
/// fired or was cancelled does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    index: u32,
    generation: u32,
}

#[derive(Debug)]
struct Node<T> {
    deadline: u64,
    /// `None` while the node is on the free list.
    item: Option<T>,
    previous: u32,
    /// Next of the slot's list, or of the free list.
    next: u32,
    generation: u32,
    list: u16,
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
}

const EMPTY: List = List { first: NONE, last: NONE };

/// Timers in milliseconds; see the module's documentation.
#[derive(Debug)]
pub struct Wheel<T> {
    /// Everything with a deadline up to here has been handed out.
    now: u64,
    /// Bit `s` of `occupied[l]`: slot `s` of level `l` has timers.
    occupied: [u64; LEVELS],
    lists: Box<[List]>,
    /// Not later than the earliest deadline of the overdue list.
    overdue_bound: u64,
    nodes: Vec<Node<T>>,
    free: u32,
    len: usize,
}

impl<T> Wheel<T> {
    /// An empty wheel whose time is `now_ms`.
    pub fn new(now_ms: u64) -> Self {
        Wheel {
            now: now_ms,
            occupied: [0; LEVELS],
            lists: vec![EMPTY; OVERDUE + 1].into_boxed_slice(),
            overdue_bound: u64::MAX,
            nodes: Vec::new(),
            free: NONE,
            len: 0,
        }
    }

    /// Number of timers that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a timer in O(1). One whose deadline has passed already is handed
    /// out by the next [`Wheel::advance`].
    ///
    /// # Panics
    ///
    /// With 4,294,967,295 timers at once.
    pub fn insert(&mut self, deadline_ms: u64, item: T) -> TimerId {
        let index = self.allocate(deadline_ms, item);
        if deadline_ms <= self.now {
            self.overdue_bound = self.overdue_bound.min(deadline_ms);
            self.append(OVERDUE, index);
        } else {
            self.place(index, deadline_ms);
        }
        self.len += 1;
        TimerId { index, generation: self.nodes[index as usize].generation }
    }

    /// Removes a timer in O(1) and returns its item; `None` if it has fired or
    /// was cancelled before.
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        let node = self.nodes.get(id.index as usize)?;
        if node.generation != id.generation || node.item.is_none() {
            return None;
        }
        let list = usize::from(node.list);
        self.unlink(id.index);
        if self.lists[list].first == NONE {
            if list == OVERDUE {
                self.overdue_bound = u64::MAX;
            } else {
                self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
            }
        }
        Some(self.release(id.index))
    }

    /// Not later than the earliest deadline, and early by less than one slot of
    /// the level on which that timer lies (exact when it is due within 64 ms or
    /// so). Waking at this time and calling [`Wheel::advance`] makes progress:
    /// either a timer fires or the next bound is closer to its deadline.
    pub fn next_deadline(&self) -> Option<u64> {
        if self.lists[OVERDUE].first != NONE {
            return Some(self.overdue_bound);
        }
        self.first_slot().map(|(_, start)| start)
    }

    /// Sets the time to `now_ms` and appends all items with
    /// `deadline <= now_ms` to `expired`, ordered by deadline and, with equal
    /// deadlines, by insertion. A time before an earlier one counts as that.
    pub fn advance(&mut self, now_ms: u64, expired: &mut Vec<T>) {
        self.advance_overdue(expired);
        while let Some((list, start)) = self.first_slot().filter(|(_, start)| *start <= now_ms) {
            // A slot is opened as soon as the time enters its range. So two
            // timers with one deadline are always in the same list, where the
            // order of insertion is kept.
            self.now = start;
            let mut index = std::mem::replace(&mut self.lists[list], EMPTY).first;
            self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
            while index != NONE {
                let Node { next, deadline, .. } = self.nodes[index as usize];
                if list < SLOTS {
                    expired.push(self.release(index));
                } else {
                    self.place(index, deadline);
                }
                index = next;
            }
        }
        self.now = self.now.max(now_ms);
    }

    /// Deadlines in this list are in no order; there are few, because they were
    /// over before they began.
    fn advance_overdue(&mut self, expired: &mut Vec<T>) {
        let mut index = std::mem::replace(&mut self.lists[OVERDUE], EMPTY).first;
        if index == NONE {
            return;
        }
        self.overdue_bound = u64::MAX;
        let mut late = Vec::new();
        while index != NONE {
            let Node { next, deadline, .. } = self.nodes[index as usize];
            late.push((deadline, index));
            index = next;
        }
        late.sort_by_key(|(deadline, _)| *deadline);
        for (_, index) in late {
            expired.push(self.release(index));
        }
    }

    /// The occupied slot that comes first, as the index of its list, and the
    /// time at which it begins.
    fn first_slot(&self) -> Option<(usize, u64)> {
        let level = self.occupied.iter().position(|slots| *slots != 0)?;
        let slot = self.occupied[level].trailing_zeros() as usize;
        let shift = BITS * level as u32;
        // What the slots of this level have in common with the time.
        let above = self.now.checked_shr(shift + BITS).map_or(0, |high| high << (shift + BITS));
        Some((level * SLOTS + slot, above | (slot as u64) << shift))
    }

    /// Puts a node on the level and slot of its deadline, which is not before
    /// the wheel's time.
    fn place(&mut self, index: u32, deadline: u64) {
        let differs = (self.now ^ deadline) | (SLOTS as u64 - 1);
        let level = (differs.ilog2() / BITS) as usize;
        let slot = (deadline >> (BITS * level as u32)) as usize % SLOTS;
        self.occupied[level] |= 1 << slot;
        self.append(level * SLOTS + slot, index);
    }

    fn append(&mut self, list: usize, index: u32) {
        let last = std::mem::replace(&mut self.lists[list].last, index);
        match self.nodes.get_mut(last as usize) {
            Some(node) => node.next = index,
            None => self.lists[list].first = index,
        }
        let node = &mut self.nodes[index as usize];
        node.previous = last;
        node.next = NONE;
        node.list = list as u16;
    }

    fn unlink(&mut self, index: u32) {
        let Node { previous, next, list, .. } = self.nodes[index as usize];
        match self.nodes.get_mut(previous as usize) {
            Some(node) => node.next = next,
            None => self.lists[usize::from(list)].first = next,
        }
        match self.nodes.get_mut(next as usize) {
            Some(node) => node.previous = previous,
            None => self.lists[usize::from(list)].last = previous,
        }
    }

    fn allocate(&mut self, deadline: u64, item: T) -> u32 {
        let index = self.free;
        match self.nodes.get_mut(index as usize) {
            Some(node) => {
                self.free = node.next;
                node.deadline = deadline;
                node.item = Some(item);
                index
            }
            None => {
                let index = u32::try_from(self.nodes.len()).unwrap_or(NONE);
                assert!(index != NONE, "too many timers");
                let (previous, next, generation, list) = (NONE, NONE, 0, 0);
                let item = Some(item);
                self.nodes.push(Node { deadline, item, previous, next, generation, list });
                index
            }
        }
    }

    /// Frees a node that is in no list.
    fn release(&mut self, index: u32) -> T {
        let node = &mut self.nodes[index as usize];
        let item = node.item.take().expect("a node in a list has an item");
        node.generation = node.generation.wrapping_add(1);
        node.next = self.free;
        self.free = index;
        self.len -= 1;
        item
    }
}

#[cfg(test)]
mod tests;
