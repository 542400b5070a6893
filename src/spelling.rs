//! Names that are not known, and the known ones that were probably meant.
//!
//! Shared by everything that reads definitions: what a client is warned about is
//! an error in the configuration.

use crate::json::Object;

/// Longer than any known name.
const LONG: usize = 64;

/// A member of a definition that has no meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownMember {
    /// Where the object is that has it: `schema.qty`; empty for the definition
    /// itself.
    pub place: String,
    /// Cut if it is long.
    pub name: String,
    meant: Option<&'static str>,
}

impl UnknownMember {
    /// `Unknown member "index": did you mean "indexes"?`
    pub fn problem(&self) -> String {
        format!("Unknown {}", self.what())
    }

    /// The same in `warnings` of an answer, with its place.
    pub fn warning(&self) -> String {
        match &*self.place {
            "" => format!("unknown {}", self.what()),
            place => format!("{place}: unknown {}", self.what()),
        }
    }

    fn what(&self) -> String {
        match self.meant {
            Some(meant) => format!("member \"{}\": did you mean \"{meant}\"?", self.name),
            None => format!("member \"{}\"", self.name),
        }
    }
}

/// Collects members that are not known, up to a number.
#[derive(Debug)]
pub struct Unknown {
    found: Vec<UnknownMember>,
    most: usize,
}

impl Unknown {
    pub fn at_most(most: usize) -> Self {
        Self { found: Vec::new(), most }
    }

    /// Looks at the members of one object.
    pub fn look(&mut self, place: &str, object: &Object, known: &[&'static str]) {
        for name in object.keys().filter(|name| !known.contains(name)) {
            self.add(place, name, known);
        }
    }

    /// A member that is not known, whatever the list says.
    pub fn add(&mut self, place: &str, name: &str, known: &[&'static str]) {
        if self.is_full() {
            return;
        }
        // The search is for what somebody mistyped and not for what a peer made
        // up to keep everybody busy.
        let is_short = name.len() <= LONG;
        let others = known.iter().copied().filter(|known| is_short && *known != name);
        let meant = nearest(name, others);
        let name = name.chars().take(LONG).flat_map(char::escape_debug).collect();
        self.found.push(UnknownMember { place: place.to_owned(), name, meant });
    }

    pub fn is_full(&self) -> bool {
        self.found.len() >= self.most
    }

    pub fn found(self) -> Vec<UnknownMember> {
        self.found
    }
}

/// The known name that was probably meant, if one is near enough.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = 1 + name.len() / 5;
    known
        .map(|known| (distance(&name.to_lowercase(), &known.to_lowercase()), known))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, meant)| meant)
}

/// Edit distance with swaps of neighbours (optimal string alignment); capped for
/// names that are nothing like a key.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 8 {
        return usize::MAX;
    }
    let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = at(&row, j) + usize::from(x != y);
            let mut least = replaced.min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;

    #[test]
    fn distance_counts_edits() {
        for (a, b, edits) in [
            ("", "", 0),
            ("host", "host", 0),
            ("hots", "host", 1),
            ("prot", "port", 1),
            ("", "ab", 2),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }

    #[test]
    fn what_is_made_up_costs_nothing_and_is_cut() {
        let long = "x".repeat(1 << 20);
        let object: Object =
            [("index", Json::Null), (&*long, Json::Null), ("a\nb", Json::Null), ("c", Json::Null)]
                .into_iter()
                .collect();
        let mut unknown = Unknown::at_most(3);
        unknown.look("", &object, &["indexes", "key"]);
        let texts: Vec<String> = unknown.found().iter().map(UnknownMember::warning).collect();
        assert_eq!(
            texts,
            [
                "unknown member \"index\": did you mean \"indexes\"?".to_owned(),
                format!("unknown member \"{}\"", "x".repeat(64)),
                "unknown member \"a\\nb\"".to_owned(),
            ]
        );
    }
}
