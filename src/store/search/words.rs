//! The words of a text, in the form in which they are compared: without case
//! and without diacritics.

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
    match value.kind() {
        Kind::String => value.as_str().is_none_or(|text| each_word(&text, visit)),
        Kind::Array => value
            .elements()
            .filter(|element| element.kind() == Kind::String)
            .all(|element| element.as_str().is_none_or(|text| each_word(&text, visit))),
        _ => true,
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
