//! What the tests of the transport's parts share: frames as a client sends them.

/// A frame with the given first byte and a mask that is not zero.
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=65_535 => {
            out.push(0xfe);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0xff);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]));
    out
}

/// The same with a mask of zeros, so that the payload stays readable.
pub fn raw_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = client_frame(first, payload);
    let body = out.len() - payload.len();
    out[body - 4..body].fill(0);
    out[body..].copy_from_slice(payload);
    out
}
