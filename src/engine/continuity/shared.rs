//! Answers to those who came back with the same: after a restart thousands do.

use std::sync::Arc;

use super::reason::Reason;
use super::token::Token;
use crate::app::CommitSeq;

/// Texts that are kept at a time, and their bytes.
const MOST: usize = 64;
const MOST_BYTES: usize = 1 << 20;

/// What somebody came back with, as far as the answer depends on it: the token
/// names the question, with what may be read. Without keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Came {
    pub token: Token,
    pub commit: CommitSeq,
    /// The answer must not tell keys that were not shown.
    pub needs_keys: bool,
}

/// The members of an answer, or why everything is sent.
pub(super) type Verdict = Result<Arc<[u8]>, Reason>;

/// See the module's description.
#[derive(Debug, Default)]
pub(in crate::engine) struct SharedAnswers {
    /// How much had happened to views when they were made: they are good until more
    /// has.
    made_at: (u64, u64),
    answers: Vec<(Came, Verdict)>,
    bytes: usize,
}

impl SharedAnswers {
    pub(super) fn get(&self, at: (u64, u64), came: &Came) -> Option<Verdict> {
        let found = self.answers.iter().find(|(other, _)| other == came);
        found.filter(|_| self.made_at == at).map(|(_, verdict)| verdict.clone())
    }

    pub(super) fn keep(&mut self, at: (u64, u64), came: Came, verdict: &Verdict) {
        let bytes = verdict.as_ref().map_or(0, |text| text.len());
        let is_full = self.answers.len() >= MOST || self.bytes + bytes > MOST_BYTES;
        if self.made_at != at || is_full {
            *self = SharedAnswers { made_at: at, ..SharedAnswers::default() };
        }
        if bytes <= MOST_BYTES {
            self.bytes += bytes;
            self.answers.push((came, verdict.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::EpochId;

    #[test]
    fn answers_are_few_and_good_until_something_happens() {
        let mut shared = SharedAnswers::default();
        let token = Token { epoch: EpochId([1; 16]), fingerprint: [2; 16] };
        let came = |commit| Came { token, commit, needs_keys: false };
        let text = |length: usize| -> Verdict { Ok(vec![b'x'; length].into()) };
        shared.keep((1, 0), came(1), &text(10));
        shared.keep((1, 0), came(2), &Err(Reason::Size));
        assert_eq!(shared.get((1, 0), &came(1)), Some(text(10)));
        assert_eq!(shared.get((1, 0), &came(2)), Some(Err(Reason::Size)));
        for other in [
            Came { needs_keys: true, ..came(1) },
            Came { token: Token { epoch: EpochId([3; 16]), ..token }, ..came(1) },
            Came { token: Token { fingerprint: [3; 16], ..token }, ..came(1) },
            came(3),
        ] {
            assert_eq!(shared.get((1, 0), &other), None, "{other:?}");
        }
        for at in [(2, 0), (1, 1)] {
            assert_eq!(shared.get(at, &came(1)), None);
        }
        shared.keep((1, 1), came(5_000), &text(1));
        assert_eq!(shared.get((1, 1), &came(1)), None);
        for commit in 0..1_000 {
            shared.keep((1, 1), came(commit), &text(50_000));
            assert!(shared.answers.len() <= MOST && shared.bytes <= MOST_BYTES);
            assert!(shared.get((1, 1), &came(commit)) == Some(text(50_000)), "{commit}");
        }
        shared.keep((1, 1), came(0), &text(MOST_BYTES + 1));
        assert_eq!(shared.bytes, 0);
    }
}
