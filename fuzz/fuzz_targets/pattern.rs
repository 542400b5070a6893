//! Regular expressions that clients bring: the first line is the pattern, the
//! rest the text. Neither stalls nor fails, and asking twice gives the same
//! answer.

#![no_main]

use libfuzzer_sys::fuzz_target;
use noexd::budget::Budget;
use noexd::store::pattern::Pattern;

fuzz_target!(|input: &str| {
    let (source, text) = input.split_once('\n').unwrap_or((input, ""));
    match Pattern::new(source) {
        Ok(pattern) => {
            assert_eq!(pattern.source(), source);
            let budget = Budget::unlimited();
            let (once, again) =
                (pattern.is_match(text, &budget), pattern.clone().is_match(text, &budget));
            assert_eq!(once, again);
        }
        Err(error) => assert!(error.offset <= source.encode_utf16().count(), "{error}"),
    }
});
