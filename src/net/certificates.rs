//! The certificate in force, and when its files are looked at again.
//!
//! Owns what follows from a look ([`Looked`]); looking itself reads files and
//! is done by the thread of the handshakes.

use super::tls::{BadFile, Certificate, Files, load};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// How often the files are looked at.
const LOOK_MS: u64 = 60_000;

/// Files that are found changed may be in the middle of being written.
const AGAIN_MS: u64 = 5_000;

/// How often the end of a certificate is warned of.
const WARN_MS: u64 = 86_400_000;

/// By which a change of a file is known: time, size, inode.
type Mark = Option<(i64, i64, u64, u64)>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks([Mark; 3]);

impl Marks {
    /// Follows links, as loading does.
    fn of(files: &Files) -> Self {
        let mark = |path: &Path| {
            let about = std::fs::metadata(path).ok()?;
            Some((about.mtime(), about.mtime_nsec(), about.size(), about.ino()))
        };
        Marks([mark(&files.cert), mark(&files.key), files.client_ca.as_deref().and_then(mark)])
    }
}

/// What a look needs to know.
pub(super) struct Look {
    files: Files,
    before: Certificate,
    marks: Marks,
    /// Somebody asked for it: nothing has to be different.
    is_asked: bool,
}

pub(super) struct Looked {
    marks: Marks,
    is_asked: bool,
    /// `None`: nothing is different.
    found: Option<Result<Certificate, BadFile>>,
}

impl Looked {
    pub fn of(look: Look) -> Self {
        let Look { files, before, marks: old, is_asked } = look;
        let marks = Marks::of(&files);
        if !is_asked && marks == old {
            return Looked { marks, is_asked, found: None };
        }
        let now = unix_seconds();
        let found = load(&files, Some(&before)).and_then(|new| {
            match new.is_expired(now) && !before.is_expired(now) {
                true => Err(BadFile {
                    key: "tls.cert",
                    reason: format!("{}: expired on {}", files.cert.display(), new.valid_until()),
                }),
                false => Ok(new),
            }
        });
        Looked { marks, is_asked, found: Some(found) }
    }
}

/// Certificates know no other time.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What became of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reloaded {
    Ok,
    Failed,
    /// There was nothing to do, or it is tried again.
    Not,
}

pub(super) struct Certificates {
    files: Files,
    pub current: Certificate,
    marks: Marks,
    /// Monotonic time of the next look.
    pub look_at: u64,
    warn_at: u64,
    /// The thread is at it.
    is_looking: bool,
    /// Asked for once more meanwhile.
    is_asked: bool,
    was_bad: bool,
    /// Why the last look brought no new one, if it should have.
    pub problem: Option<String>,
}

impl Certificates {
    /// `marks` are from before `current` was loaded.
    pub fn new(loaded: Loaded, now: u64) -> Self {
        let Loaded { files, certificate, marks } = loaded;
        Certificates {
            files,
            current: certificate,
            marks,
            look_at: now.saturating_add(LOOK_MS),
            warn_at: now.saturating_add(WARN_MS),
            is_looking: false,
            is_asked: false,
            was_bad: false,
            problem: None,
        }
    }

    pub fn ask(&mut self, now: u64) {
        self.is_asked = true;
        self.look_at = now;
    }

    /// The look that is due now.
    pub fn due(&mut self, now: u64) -> Option<Look> {
        if self.look_at > now {
            return None;
        }
        self.look_at = now.saturating_add(LOOK_MS);
        if self.warn_at <= now {
            self.warn_at = now.saturating_add(WARN_MS);
            if let Some(warning) = self.current.expiry_warning(unix_seconds()) {
                log::warn!("{warning}");
            }
        }
        if std::mem::replace(&mut self.is_looking, true) {
            return None;
        }
        Some(Look {
            files: self.files.clone(),
            before: self.current.clone(),
            marks: self.marks.clone(),
            is_asked: std::mem::take(&mut self.is_asked),
        })
    }

    /// Takes over what a look has found, if it is good.
    pub fn looked(&mut self, looked: Looked, now: u64) -> Reloaded {
        self.is_looking = false;
        if self.is_asked {
            self.look_at = now;
        }
        match looked.found {
            None => {
                self.was_bad = false;
                Reloaded::Not
            }
            Some(Ok(certificate)) => {
                log::info!("tls: new certificate, valid until {}", certificate.valid_until());
                for oddity in certificate.oddities() {
                    log::warn!("{oddity}");
                }
                self.problem = None;
                self.current = certificate;
                self.marks = looked.marks;
                self.was_bad = false;
                Reloaded::Ok
            }
            // Perhaps one file is there already and the other is not.
            Some(Err(_)) if !looked.is_asked && !std::mem::replace(&mut self.was_bad, true) => {
                self.look_at = now.saturating_add(AGAIN_MS);
                Reloaded::Not
            }
            Some(Err(bad)) => {
                let until = self.current.valid_until();
                self.problem = Some(bad.to_string());
                log::error!("tls: {bad}; the old certificate stays, valid until {until}");
                self.marks = looked.marks;
                self.was_bad = false;
                Reloaded::Failed
            }
        }
    }
}

/// A certificate with what it was loaded from.
#[derive(Clone, Debug)]
pub struct Loaded {
    files: Files,
    pub certificate: Certificate,
    marks: Marks,
}

impl Loaded {
    /// Loads the files for the first time.
    ///
    /// # Errors
    ///
    /// The first file that is not as it should be.
    pub fn from(files: Files) -> Result<Self, BadFile> {
        let marks = Marks::of(&files);
        let certificate = load(&files, None)?;
        Ok(Loaded { files, certificate, marks })
    }
}
