/// FNV-1a with 64 bits (Fowler, Noll, Vo): finds damage, not deceit. Never zero
/// for a run of zeroes.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
