//! Checksums against damage, not against deceit.

/// FNV-1a with 64 bits (Fowler, Noll, Vo); never zero for a run of zeroes.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    go_on(0xcbf2_9ce4_8422_2325, bytes)
}

/// The checksum of several texts, which tells `ab`, `c` from `a`, `bc`.
#[cfg(feature = "sqlite")]
pub(super) fn checksum_of(parts: &[&str]) -> i64 {
    // No byte of UTF-8 is this one.
    let sum =
        parts.iter().fold(checksum(&[]), |sum, part| go_on(go_on(sum, part.as_bytes()), &[0xff]));
    sum.cast_signed()
}

fn go_on(sum: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(sum, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
