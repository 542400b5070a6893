//! Checksums against damage, not against deceit.

/// FNV's offset basis: not zero, so that zeroes count.
const START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a with 64 bits (Fowler, Noll, Vo); never zero for a run of zeroes.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(START, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The checksum of several texts, which tells `ab`, `c` from `a`, `bc`: Firefox'
/// FxHash, eight bytes at a time, because every start computes it for every
/// record. A change within eight bytes never leaves it as it was.
#[cfg(feature = "sqlite")]
pub(super) fn checksum_of(parts: &[&str]) -> i64 {
    let add = |sum: u64, word: u64| (sum.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    let sum = parts.iter().fold(START, |sum, part| {
        let (words, rest) = part.as_bytes().as_chunks::<8>();
        let sum = words.iter().fold(sum, |sum, word| add(sum, u64::from_le_bytes(*word)));
        let rest = rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        add(add(sum, rest), part.len() as u64)
    });
    sum.cast_signed()
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::checksum_of;

    /// Files hold them: they must never come out otherwise.
    #[test]
    fn sums_are_what_they_were() {
        let sums = [
            (checksum_of(&[]), -3750763034362895579),
            (checksum_of(&["", ""]), 1274542041437945405),
            (checksum_of(&["a"]), -7357815938133707295),
            (checksum_of(&["{\"id\":\"k-1\",\"n\":1}", "ü"]), 873619855315654494),
        ];
        for (at, (found, expected)) in sums.into_iter().enumerate() {
            assert_eq!(found, expected, "{at}");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_moved_border_shows() {
        let text = "{\"id\":\"k-1\",\"n\":12345,\"more\":[1,2,3]}";
        let whole = checksum_of(&[text, "x"]);
        for at in 0..text.len() {
            for bit in 0..7 {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                let changed = String::from_utf8(bytes).expect("still ASCII");
                assert_ne!(checksum_of(&[&changed, "x"]), whole, "byte {at}, bit {bit}");
            }
            let (left, right) = text.split_at(at);
            assert_ne!(checksum_of(&[left, right]), checksum_of(&[text]), "cut at {at}");
            assert_ne!(checksum_of(&[left]), checksum_of(&[text]), "ends at {at}");
        }
    }
}
