//! The views that are filed in one place, and among them those that wait for
//! words.
//!
//! A view that searches is filed under one of its words, or under the beginning
//! of one if it asks for no other. A change is taken apart once, and its words
//! lead to the views: each of them to those that wait for it, and each of its
//! beginnings that are as long as one that somebody waits for. So a change
//! costs what its words cost, for which whoever writes has paid when they were
//! filed, and never more than there are words that somebody waits for.

use std::collections::BTreeMap;

use super::ids::ViewId;
use super::lists::{Looking, OneOf, Seats, Sides};
use crate::store::{Bucket, Change, FieldRef, Search, Words};

/// The word that leads to a view.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Word {
    pub field: FieldRef,
    text: Box<str>,
    /// It is not the beginning of one.
    is_whole: bool,
}

/// So many words of a search are looked at to find the best.
const MOST_WORDS: usize = 16;

/// Beginnings are filed under so many bytes: as many are looked up for a word
/// of a record, however long it is.
const MOST_BEGINNING: usize = 32;

impl Word {
    /// The word of some searches, all of which a record must fulfil, that fewest
    /// changes will have: which records have it now is the best that is known of
    /// that. `None`: they ask for no word.
    pub fn best<'f>(
        searches: impl IntoIterator<Item = (&'f FieldRef, &'f Search)>,
        bucket: &Bucket,
    ) -> Option<Word> {
        let mut whole: Vec<(&FieldRef, &str)> = Vec::new();
        let mut begun: Vec<(&FieldRef, &str)> = Vec::new();
        for (field, search) in searches {
            whole.extend(search.whole().map(|word| (field, word)));
            begun.extend(search.beginning().map(|word| (field, word)));
        }
        // Longer ones are rarer, mostly.
        let by_length = |(_, word): &(&FieldRef, &str)| std::cmp::Reverse(word.len());
        whole.sort_by_key(by_length);
        begun.sort_by_key(by_length);
        let count = |(field, word): &(&FieldRef, &str)| {
            let mut indexes = bucket.search_indexes().iter();
            let index = indexes.find(|index| index.field().name() == field.name());
            index.map_or(0, |index| index.count(word))
        };
        let rarest = whole.into_iter().take(MOST_WORDS).min_by_key(count);
        if let Some((field, word)) = rarest {
            return Some(Word { field: field.clone(), text: word.into(), is_whole: true });
        }
        let (field, beginning) = begun.into_iter().next()?;
        let text = beginning_of(beginning, MOST_BEGINNING).into();
        Some(Word { field: field.clone(), text, is_whole: false })
    }
}

/// As many whole characters as fit.
fn beginning_of(text: &str, bytes: usize) -> &str {
    let ends = text.char_indices().map(|(at, letter)| at.saturating_add(letter.len_utf8()));
    let end = ends.take_while(|end| *end <= bytes).last().unwrap_or_default();
    text.get(..end).unwrap_or_default()
}

/// The words of a change, taken apart when somebody asks.
#[derive(Default)]
pub(super) struct Said(Vec<(FieldRef, Sides, Words)>);

impl Said {
    fn words(&mut self, change: &Change, field: &FieldRef, sides: Sides) -> Option<&Words> {
        let is_it = |(have, of, _): &(FieldRef, Sides, Words)| *of == sides && have == field;
        let at = match self.0.iter().position(is_it) {
            Some(at) => at,
            None => {
                self.0.push((field.clone(), sides, Words::of(sides.values(change, field))));
                self.0.len().saturating_sub(1)
            }
        };
        self.0.get(at).map(|(.., words)| words)
    }
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    seats: Seats,
    /// By the field that is searched.
    words: Vec<(FieldRef, Waiting)>,
}

/// Views by what they wait for.
#[derive(Debug, Default)]
struct Waiting {
    whole: BTreeMap<Box<str>, Seats>,
    begun: BTreeMap<Box<str>, Seats>,
    /// How many of the beginnings have so many bytes.
    lengths: BTreeMap<usize, usize>,
}

impl Leaf {
    pub fn insert(&mut self, word: Option<&Word>, list: Option<&OneOf>, view: ViewId) {
        let Some(word) = word else { return self.seats.insert(list, view) };
        let at = match self.words.iter().position(|(field, _)| *field == word.field) {
            Some(at) => at,
            None => {
                self.words.push((word.field.clone(), Waiting::default()));
                self.words.len().saturating_sub(1)
            }
        };
        if let Some((_, waiting)) = self.words.get_mut(at) {
            waiting.insert(word, list, view);
        }
    }

    pub fn remove(&mut self, word: Option<&Word>, list: Option<&OneOf>, view: ViewId) {
        let Some(word) = word else { return self.seats.remove(list, view) };
        for (_, waiting) in self.words.iter_mut().filter(|(field, _)| *field == word.field) {
            waiting.remove(word, list, view);
        }
        self.words.retain(|(_, waiting)| !waiting.is_empty());
    }

    pub fn is_empty(&self) -> bool {
        self.seats.is_empty() && self.words.is_empty()
    }

    /// Calls `visit` with every view that the change can concern.
    pub fn visit(
        &self,
        looking: Looking<'_>,
        sides: Sides,
        said: &mut Said,
        visit: &mut impl FnMut(ViewId),
    ) {
        self.seats.visit(looking, sides, visit);
        for (field, waiting) in &self.words {
            if let Some(words) = said.words(looking.change, field, sides) {
                waiting.visit(words, &mut |seats: &Seats| seats.visit(looking, sides, visit));
            }
        }
    }
}

impl Waiting {
    fn insert(&mut self, word: &Word, list: Option<&OneOf>, view: ViewId) {
        if word.is_whole {
            return self.whole.entry(word.text.clone()).or_default().insert(list, view);
        }
        let seats = self.begun.entry(word.text.clone()).or_insert_with(|| {
            *self.lengths.entry(word.text.len()).or_default() += 1;
            Seats::default()
        });
        seats.insert(list, view);
    }

    fn remove(&mut self, word: &Word, list: Option<&OneOf>, view: ViewId) {
        let all = if word.is_whole { &mut self.whole } else { &mut self.begun };
        let Some(seats) = all.get_mut(&word.text) else { return };
        seats.remove(list, view);
        if !seats.is_empty() {
            return;
        }
        all.remove(&word.text);
        if word.is_whole {
            return;
        }
        let length = word.text.len();
        if let Some(count) = self.lengths.get_mut(&length) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.lengths.remove(&length);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.begun.is_empty()
    }

    /// By whichever are fewer: the words, or what somebody waits for.
    fn visit(&self, words: &Words, visit: &mut impl FnMut(&Seats)) {
        if self.whole.len() <= words.len() {
            let said = self.whole.iter().filter(|(word, _)| words.contains(word));
            said.map(|(_, seats)| seats).for_each(&mut *visit);
        } else {
            words.iter().filter_map(|word| self.whole.get(word)).for_each(&mut *visit);
        }
        if self.begun.len() <= words.len() {
            let said = self.begun.iter().filter(|(word, _)| words.any_begins_with(word));
            said.map(|(_, seats)| seats).for_each(&mut *visit);
            return;
        }
        let mut before = "";
        for word in words.iter() {
            // What it begins with like the one before has been looked up.
            let shared = word.bytes().zip(before.bytes()).take_while(|(a, b)| a == b).count();
            before = word;
            let lengths = self.lengths.range(shared.saturating_add(1)..).map(|(length, _)| *length);
            let beginnings = lengths.take_while(|length| *length <= word.len());
            let beginnings = beginnings.filter_map(|length| word.get(..length));
            beginnings.filter_map(|beginning| self.begun.get(beginning)).for_each(&mut *visit);
        }
    }
}
