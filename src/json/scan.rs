//! What both the checked text and the parser look at in strings.

/// How many bytes at the start mean themselves in a string: up to a quote, a
/// backslash or a control character. Eight at a time, by the well-known tests
/// for a zero byte in a word (Warren, Hacker's Delight, 6-1).
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = has_zero(word ^ (ONES * u64::from(b'"')))
            | has_zero(word ^ (ONES * u64::from(b'\\')))
            | (word.wrapping_sub(ONES * 0x20) & !word & HIGH);
        if found != 0 {
            // The lowest bit is exact; only those above it may come of a carry.
            return at * 8 + (found.trailing_zeros() / 8) as usize;
        }
    }
    let own = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    words.len() * 8 + rest.iter().position(own).unwrap_or(rest.len())
}

/// The number of four digits, or fewer.
pub(super) fn hex_value(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        /// As far as a look at one byte after the other comes.
        #[test]
        fn what_is_plain_is_found_in_words(
            bytes in prop::collection::vec(prop_oneof![
                8 => 0x20u8..=0xff,
                1 => prop::sample::select(vec![0x00, 0x1f, b'"', b'\\', 0x21, 0x5d, 0x80, 0xa2]),
            ], 0..40),
        ) {
            let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
            let naive = bytes.iter().position(special).unwrap_or(bytes.len());
            prop_assert_eq!(super::plain_length(&bytes), naive);
        }
    }
}
