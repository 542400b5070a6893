//! The configuration file: whatever it says, the answer is a configuration or a
//! list of problems that name their places.

#![no_main]

use libfuzzer_sys::fuzz_target;
use noexd::config::Options;
use noexd::server::check_definitions;

fuzz_target!(|text: &str| {
    let mut options = Options::new();
    let problems = match options.read_file(text) {
        Err(problems) => problems,
        Ok(()) => match options.resolve() {
            Err(problems) => problems,
            Ok(resolved) => {
                let config = resolved.config;
                assert!(!config.bind_host().is_empty());
                // What was accepted once is accepted again.
                assert_eq!(config.check(), Ok(()));
                let _ = (config.summary(), config.oddities());
                match check_definitions(&config) {
                    Err(problems) => problems,
                    Ok(()) => return,
                }
            }
        },
    };
    for problem in &problems.problems {
        assert!(!problem.at.contains('\n'), "{problem:?}");
    }
    let text = problems.to_string();
    assert!(!text.trim().is_empty(), "refused without a reason");
});
