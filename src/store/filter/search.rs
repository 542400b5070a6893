//! Searching ASCII text without regard to case and without copying it.

/// Places that are looked at together: as many as fit a register.
const LANES: usize = 16;

/// Whether ASCII text contains a part that is in lower case.
///
/// A place is looked at closer where the first and the last character fit. Text
/// that is made so that this is everywhere and in vain is searched in another
/// way, whose cost is the length of both whatever they are.
pub(super) fn contains(text: &[u8], part: &[u8]) -> bool {
    let (Some(&first), Some(&last)) = (part.first(), part.last()) else { return true };
    let Some(room) = text.len().checked_sub(part.len()) else { return false };
    let ends = Ends { first, last, first_case: case_bit(first), last_case: case_bit(last) };
    let starts = text.get(..=room).unwrap_or_default();
    let behind = text.get(part.len() - 1..).unwrap_or_default();
    // What looking closer may cost, in characters.
    let mut patience = text.len().saturating_add(4 * LANES);
    let (heads, rest_heads) = starts.as_chunks::<LANES>();
    let (tails, rest_tails) = behind.as_chunks::<LANES>();
    for (at, (head, tail)) in heads.iter().zip(tails).enumerate() {
        if ends.fit_somewhere(head, tail) {
            match look_closer(text, part, ends, at * LANES, head, tail, &mut patience) {
                Some(true) => return true,
                Some(false) => {}
                None => return contains_anyway(text, part),
            }
        }
    }
    // The last places are looked at together with some in front of them, which is
    // less work than one by one.
    if let (Some(head), Some(tail)) = (starts.last_chunk(), behind.last_chunk())
        && !ends.fit_somewhere(head, tail)
    {
        return false;
    }
    let at = heads.len() * LANES;
    look_closer(text, part, ends, at, rest_heads, rest_tails, &mut patience)
        .unwrap_or_else(|| contains_anyway(text, part))
}

/// The first and the last character of what is searched for.
#[derive(Clone, Copy)]
struct Ends {
    first: u8,
    last: u8,
    /// The bit that makes a letter a small one; none where it is no letter.
    first_case: u8,
    last_case: u8,
}

fn case_bit(byte: u8) -> u8 {
    if byte.is_ascii_lowercase() { 0x20 } else { 0 }
}

impl Ends {
    fn fit(self, head: u8, tail: u8) -> bool {
        (head | self.first_case == self.first) & (tail | self.last_case == self.last)
    }

    /// All at once, without leaving early: that is what is fast.
    fn fit_somewhere(self, head: &[u8; LANES], tail: &[u8; LANES]) -> bool {
        let fits = |(&head, &tail)| u8::from(self.fit(head, tail));
        head.iter().zip(tail).fold(0, |found, pair| found | fits(pair)) != 0
    }
}

/// Whether the part is at one of these places; `None` when patience ends.
fn look_closer(
    text: &[u8],
    part: &[u8],
    ends: Ends,
    at: usize,
    heads: &[u8],
    tails: &[u8],
    patience: &mut usize,
) -> Option<bool> {
    for (offset, (&head, &tail)) in heads.iter().zip(tails).enumerate() {
        if !ends.fit(head, tail) {
            continue;
        }
        let here = text.get(at + offset..).unwrap_or_default();
        let same = here.iter().zip(part).take_while(|(a, b)| a.to_ascii_lowercase() == **b).count();
        if same == part.len() {
            return Some(true);
        }
        *patience = patience.checked_sub(same)?;
    }
    Some(false)
}

/// By the standard library's search, which is linear.
fn contains_anyway(text: &[u8], part: &[u8]) -> bool {
    let lower = text.to_ascii_lowercase();
    match (std::str::from_utf8(&lower), std::str::from_utf8(part)) {
        (Ok(text), Ok(part)) => text.contains(part),
        _ => false,
    }
}
