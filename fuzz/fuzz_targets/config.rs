//! The configuration file: whatever it says, the answer is a configuration or a
//! list of problems that name their places.

#![no_main]

use libfuzzer_sys::fuzz_target;
use noexd::config::Options;

fuzz_target!(|text: &str| {
    let mut options = Options::new();
    let problems = match options.read_file(text) {
        Err(problems) => problems,
        Ok(()) => match options.resolve() {
            Err(problems) => problems,
            Ok(resolved) => {
                assert!(!resolved.config.bind_host().is_empty());
                return;
            }
        },
    };
    let text = problems.to_string();
    assert!(!text.trim().is_empty(), "refused without a reason");
});
