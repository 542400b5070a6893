//! The words of a text, in the form in which they are compared: without case
//! and without diacritics.

use std::ops::Range;

use icu_normalizer::DecomposingNormalizerBorrowed;
use icu_normalizer::properties::CanonicalCombiningClassMapBorrowed;
use unicode_casefold::UnicodeCaseFold;
use unicode_segmentation::UnicodeSegmentation;

use crate::json::{Kind, Raw};

const DECOMPOSE: DecomposingNormalizerBorrowed<'static> = DecomposingNormalizerBorrowed::new_nfd();
const CLASSES: CanonicalCombiningClassMapBorrowed<'static> =
    CanonicalCombiningClassMapBorrowed::new();

/// Tells every word of a text; false from `visit` ends it.
pub(crate) fn each_word(text: &str, visit: &mut dyn FnMut(&str) -> bool) -> bool {
    let mut folded = String::new();
    text.unicode_words().all(|word| {
        folded.clear();
        if word.is_ascii() {
            folded.push_str(word);
            folded.make_ascii_lowercase();
        } else {
            let parts = DECOMPOSE.normalize(word);
            let letters = parts.chars().filter(|letter| CLASSES.get_u8(*letter) == 0);
            folded.extend(letters.case_fold());
        }
        // A mark that stands alone leaves nothing.
        folded.is_empty() || visit(&folded)
    })
}

/// The words of a string, or of the strings in an array.
pub(crate) fn each_word_of(value: Raw<'_>, visit: &mut dyn FnMut(&str) -> bool) -> bool {
    each_text_of(value, &mut |text| each_word(text, visit))
}

/// A string, or the strings in an array; false from `visit` ends it.
fn each_text_of(value: Raw<'_>, visit: &mut dyn FnMut(&str) -> bool) -> bool {
    match value.kind() {
        Kind::String => value.as_str().is_none_or(|text| visit(&text)),
        Kind::Array => value
            .elements()
            .filter(|element| element.kind() == Kind::String)
            .all(|element| element.as_str().is_none_or(|text| visit(&text))),
        _ => true,
    }
}

/// At least as many words as there are, found by looking at each character once:
/// what it costs to file them has to be known before it is done. Letters and
/// digits in a row are one word; of scripts that may do without spaces, whose
/// letters have three bytes or more, each letter is taken for one.
pub(crate) fn most_words_of(value: Raw<'_>) -> usize {
    let mut words = 0;
    each_text_of(value, &mut |text| {
        let mut within = false;
        for letter in text.chars() {
            let is_part = letter.is_alphanumeric();
            let stands_alone = letter.len_utf8() > 2;
            words += usize::from(is_part && (stands_alone || !within));
            within = is_part && !stands_alone;
        }
        true
    });
    words
}

/// The words of some values, each once and sorted.
#[derive(Debug, Default)]
pub(crate) struct Words {
    text: String,
    words: Vec<Range<usize>>,
}

impl Words {
    pub fn of<'v>(values: impl IntoIterator<Item = Raw<'v>>) -> Words {
        let (mut text, mut words) = (String::new(), Vec::new());
        for value in values {
            each_word_of(value, &mut |word| {
                let start = text.len();
                text.push_str(word);
                words.push(start..text.len());
                true
            });
        }
        words.sort_unstable_by(|a, b| text.get(a.clone()).cmp(&text.get(b.clone())));
        words.dedup_by(|a, b| text.get(a.clone()) == text.get(b.clone()));
        Words { text, words }
    }

    pub fn len(&self) -> usize {
        self.words.len()
    }

    fn get(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(|range| self.get(range))
    }

    pub fn contains(&self, word: &str) -> bool {
        self.words.binary_search_by(|range| self.get(range).cmp(word)).is_ok()
    }

    /// Whether one of them begins like this.
    pub fn any_begins_with(&self, beginning: &str) -> bool {
        let at = self.words.partition_point(|range| self.get(range) < beginning);
        self.words.get(at).is_some_and(|range| self.get(range).starts_with(beginning))
    }
}

/// What `$search` asks for: all of these words, the last one as the beginning
/// of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Search {
    /// Each once.
    whole: Vec<Box<str>>,
    beginning: Option<Box<str>>,
}

impl Search {
    pub fn parse(text: &str) -> Search {
        let mut words: Vec<Box<str>> = Vec::new();
        each_word(text, &mut |word| {
            words.push(word.into());
            true
        });
        let beginning = words.pop();
        words.sort_unstable();
        words.dedup();
        Search { whole: words, beginning }
    }

    pub fn whole(&self) -> impl Iterator<Item = &str> {
        self.whole.iter().map(|word| &**word)
    }

    pub fn beginning(&self) -> Option<&str> {
        self.beginning.as_deref()
    }

    /// Whether a value that is not null has the words.
    pub fn matches(&self, value: Raw<'_>) -> bool {
        let Some(beginning) = &self.beginning else { return true };
        let mut found = vec![false; self.whole.len()];
        let (mut missing, mut begun) = (self.whole.len(), false);
        each_word_of(value, &mut |word| {
            begun |= word.starts_with(&**beginning);
            if let Ok(at) = self.whole.binary_search_by(|have| (**have).cmp(word))
                && let Some(found) = found.get_mut(at)
                && !std::mem::replace(found, true)
            {
                missing = missing.saturating_sub(1);
            }
            missing > 0 || !begun
        });
        missing == 0 && begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IdSource;

    /// What is paid for is never less than what is filed.
    #[test]
    fn no_text_has_more_words_than_it_pays_for() {
        let pieces = [
            "a", "B", "7", " ", "-", "_", ".", "'", ",", "é", "e\u{301}", "×", "§", "ß", "ж", "א",
            "\u{5f3}", "ع", "ー", "カ", "あ", "中", "한", "ก", "ा", "क", "\u{200d}", "𝐀", "🦀",
            "ﬁ",
        ];
        let mut dice = IdSource::new([7; 32]);
        for _ in 0..20_000 {
            let length = dice.next_u64() % 12;
            let text: String = (0..length)
                .map(|_| pieces[(dice.next_u64() % pieces.len() as u64) as usize])
                .collect();
            let mut words = 0;
            each_word(&text, &mut |_| {
                words += 1;
                true
            });
            let json = serde_json::to_string(&text).expect("JSON");
            let paid = most_words_of(Raw::checked(&json));
            assert!(words <= paid, "{text:?}: {words} words, {paid} paid for");
        }
    }
}
