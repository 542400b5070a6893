//! A header of the PROXY protocol, cut anywhere: what was found in a part is
//! found in the whole, and nothing is used that is not there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use noexd::net::proxy::{Header, read};

fuzz_target!(|input: &[u8]| {
    let mut earlier = Header::NeedMore;
    for end in 0..=input.len().min(2100) {
        let found = read(&input[..end]);
        if earlier != Header::NeedMore {
            assert_eq!(found, earlier);
        }
        if let Header::Found { used, .. } = found {
            assert!(used <= end);
        }
        earlier = found;
    }
});
