//! Appending whole lines to a file that is rotated by size.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::audit::Entry;
use crate::config::{self, AuditSync};
use crate::private;

/// Bytes handed to the operating system at once.
const CHUNK: usize = 1 << 18;

/// What a line of the file tells.
enum Told {
    Entry(Arc<Entry>),
    /// So many entries had to go.
    Dropped(u64),
}

/// A line of which only a part could be written.
struct Begun {
    bytes: Vec<u8>,
    /// How much of it the file ends with.
    written: usize,
    told: Told,
}

/// Lines that are on their way.
#[derive(Default)]
struct Lines {
    entries: VecDeque<Arc<Entry>>,
    dropped: u64,
}

pub(super) struct Writer {
    path: PathBuf,
    max_bytes: Option<u64>,
    max_files: usize,
    /// Somebody will ask for syncs, so what they are to cover is kept.
    keeps: bool,
    file: File,
    size: u64,
    /// Written since the last sync.
    dirty: bool,
    /// The last byte written is not a line break: a line is torn.
    torn: bool,
    begun: Option<Begun>,
    /// Written, and not known to be on disk.
    unsynced: Lines,
    /// A sync of these has failed: whether they are on disk nobody will ever know.
    lost: Lines,
}

impl Writer {
    pub fn open(settings: &config::AuditFile) -> io::Result<Self> {
        let (file, size, torn) = open(&settings.path)?;
        Ok(Self {
            path: settings.path.clone(),
            max_bytes: settings.max_bytes,
            max_files: settings.max_files,
            keeps: settings.sync != AuditSync::Never,
            file,
            size,
            dirty: false,
            torn,
            begun: None,
            unsynced: Lines::default(),
            lost: Lines::default(),
        })
    }

    /// Opens the file anew; after an error the old one is still in use.
    pub fn reopen(&mut self) -> io::Result<()> {
        let before = self.file.metadata()?;
        let (file, size, torn) = open(&self.path)?;
        let now = file.metadata()?;
        let is_same = (before.dev(), before.ino()) == (now.dev(), now.ino()) && size == self.size;
        if let Some(begun) = self.begun.as_mut().filter(|_| !is_same) {
            begun.written = 0;
        }
        (self.file, self.size, self.torn) = (file, size, torn);
        Ok(())
    }

    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Whether a line waits for its rest to be written.
    pub fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// After an error nothing is known of what was written since the last one, not
    /// even if another sync succeeds: see [`Writer::take_lost`].
    pub fn sync(&mut self) -> io::Result<()> {
        let result = self.file.sync_data();
        let unsynced = std::mem::take(&mut self.unsynced);
        self.dirty = false;
        if result.is_err() {
            self.lost.entries.extend(unsynced.entries);
            self.lost.dropped += unsynced.dropped;
        }
        result
    }

    /// What was written in vain and is to be written once more goes to the front of
    /// `lines` and to `dropped`.
    pub fn take_lost(&mut self, dropped: &mut u64, lines: &mut VecDeque<Arc<Entry>>) {
        let mut lost = std::mem::take(&mut self.lost);
        *dropped += lost.dropped;
        lost.entries.append(lines);
        *lines = lost.entries;
    }

    /// Appends the lines, after a line about `dropped` ones if there are any.
    /// What was written, or begun, is taken from both; after an error the rest is
    /// still there.
    pub fn write(&mut self, dropped: &mut u64, lines: &mut VecDeque<Arc<Entry>>) -> io::Result<()> {
        self.end_line()?;
        if *dropped > 0 {
            let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let line = format!(
                "{{\"timestamp\":{},\"operation\":\"audit.dropped\",\"count\":{dropped}}}\n",
                time.as_millis()
            );
            let told = Told::Dropped(std::mem::take(dropped));
            self.begun = Some(Begun { bytes: line.into_bytes(), written: 0, told });
            self.end_line().inspect_err(|_| self.give_back_note(dropped))?;
        }
        let mut chunk = Vec::new();
        let mut ends = VecDeque::new();
        loop {
            while chunk.len() < CHUNK
                && let Some(line) = lines.get(ends.len())
            {
                let next = (chunk.len() + line.json().len() + 1) as u64;
                let full = self.max_bytes.is_some_and(|most| self.size + next > most);
                if full && !chunk.is_empty() {
                    break;
                }
                if full && self.size > 0 {
                    self.rotate()?;
                }
                chunk.extend_from_slice(line.json().as_bytes());
                chunk.push(b'\n');
                ends.push_back(chunk.len());
            }
            if chunk.is_empty() {
                return Ok(());
            }
            let (result, written) = self.append(&chunk);
            let whole = ends.iter().take_while(|end| **end <= written).count();
            for line in lines.drain(..whole) {
                self.note_written(Told::Entry(line));
            }
            let start = whole.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0);
            if written > start
                && let Some(line) = lines.pop_front()
            {
                let bytes = format!("{}\n", line.json()).into_bytes();
                let told = Told::Entry(line);
                self.begun = Some(Begun { bytes, written: written - start, told });
            }
            result?;
            chunk.clear();
            ends.clear();
        }
    }

    /// A note of which the file has nothing is made anew later: there may be more to
    /// tell by then.
    fn give_back_note(&mut self, dropped: &mut u64) {
        if let Some(Begun { written: 0, told: Told::Dropped(count), .. }) = self.begun {
            self.begun = None;
            *dropped += count;
        }
    }

    fn note_written(&mut self, told: Told) {
        match told {
            Told::Entry(entry) if self.keeps => self.unsynced.entries.push_back(entry),
            Told::Dropped(count) if self.keeps => self.unsynced.dropped += count,
            _ => {}
        }
    }

    /// Writes the rest of a line that was begun. One that somebody else has left, or
    /// that stands in another file, is ended as it is.
    fn end_line(&mut self) -> io::Result<()> {
        if self.torn && self.begun.as_ref().is_none_or(|begun| begun.written == 0) {
            self.append(b"\n").0?;
        }
        let Some(mut begun) = self.begun.take() else { return Ok(()) };
        let (result, written) = self.append(begun.bytes.get(begun.written..).unwrap_or_default());
        begun.written += written;
        match &result {
            Ok(()) => self.note_written(begun.told),
            Err(_) => self.begun = Some(begun),
        }
        result
    }

    /// Writes all of it and says how much that was if it fails.
    fn append(&mut self, bytes: &[u8]) -> (io::Result<()>, usize) {
        let mut written = 0;
        let result = loop {
            let rest = bytes.get(written..).unwrap_or_default();
            if rest.is_empty() {
                break Ok(());
            }
            match self.file.write(rest) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        if let Some(last) = written.checked_sub(1).and_then(|at| bytes.get(at)) {
            self.dirty = true;
            self.torn = *last != b'\n';
            self.size += written as u64;
        }
        (result, written)
    }

    /// `path` becomes `path.1`, `path.1` becomes `path.2`, and so on; the oldest
    /// goes.
    fn rotate(&mut self) -> io::Result<()> {
        self.sync()?;
        for number in (1..self.max_files).rev() {
            let (from, to) = (self.rotated(number), self.rotated(number + 1));
            match std::fs::rename(from, to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(&self.path, self.rotated(1))?;
        (self.file, self.size, self.torn) = open(&self.path)?;
        Ok(())
    }

    fn rotated(&self, number: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

/// The file, its size, and whether its last line is torn.
fn open(path: &Path) -> io::Result<(File, u64, bool)> {
    match private::create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => private::warn_of_mode(path),
        created => drop(created?),
    }
    let file = private::options().append(true).open(path)?;
    let size = file.metadata()?.len();
    let mut torn = false;
    if size > 0 {
        let mut reader = File::open(path)?;
        reader.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        reader.read_exact(&mut last)?;
        torn = last != *b"\n";
    }
    Ok((file, size, torn))
}

/// The last lines of a file, read from its end.
pub(super) fn tail(path: &Path, most: usize) -> io::Result<Vec<String>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut start = file.seek(SeekFrom::End(0))?;
    let mut bytes = Vec::new();
    let mut breaks = 0;
    while start > 0 && breaks <= most {
        let step = start.min(CHUNK as u64);
        start -= step;
        let mut chunk = vec![0; step as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut chunk)?;
        breaks += chunk.iter().filter(|byte| **byte == b'\n').count();
        chunk.append(&mut bytes);
        bytes = chunk;
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    // The first line may have begun before what was read.
    let skip = lines.len().saturating_sub(most).max(usize::from(start > 0));
    Ok(lines.into_iter().skip(skip).map(String::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tests::{Directory, everything, record, users};

    fn two() -> VecDeque<Arc<Entry>> {
        let mut log = everything();
        record(&mut log, &["a", "b"]);
        log.ring.iter().cloned().collect()
    }

    /// A writer whose first line was cut off by a full disk, and the second line.
    fn cut(path: &Path) -> (Writer, VecDeque<Arc<Entry>>) {
        let mut writer = Writer::open(&config::AuditFile::new(path)).expect("a file");
        let mut lines = two();
        let line = lines.pop_front().expect("two");
        let bytes = format!("{}\n", line.json()).into_bytes();
        writer.append(&bytes[..20]).0.expect("written");
        writer.begun = Some(Begun { bytes, written: 20, told: Told::Entry(line) });
        (writer, lines)
    }

    #[test]
    fn a_torn_line_is_ended_where_it_was_cut_off() {
        let directory = Directory::new("cut");
        let (mut writer, mut lines) = cut(&directory.file());
        writer.reopen().expect("the same file");
        writer.write(&mut 0, &mut lines).expect("room");
        assert_eq!((users(&directory.file()), lines.len()), (vec!["a".into(), "b".into()], 0));
        assert_eq!(writer.unsynced.entries.len(), 2);
    }

    #[test]
    fn in_another_file_a_torn_line_is_written_as_a_whole() {
        let directory = Directory::new("cut-moved");
        let (mut writer, mut lines) = cut(&directory.file());
        std::fs::rename(directory.file(), directory.file().with_extension("1")).expect("moved");
        writer.reopen().expect("another file");
        writer.write(&mut 3, &mut lines).expect("room");
        assert_eq!(users(&directory.file()), ["a", "3", "b"]);
        // Or behind what somebody else has appended.
        let (mut writer, mut lines) = cut(&directory.file());
        std::fs::OpenOptions::new()
            .append(true)
            .open(directory.file())
            .and_then(|mut file| file.write_all(b"odd"))
            .expect("appended");
        writer.reopen().expect("the same file");
        writer.write(&mut 0, &mut lines).expect("room");
        let text = std::fs::read_to_string(directory.file()).expect("a file");
        assert_eq!(text.lines().count(), 6, "{text}");
        assert!(text.lines().nth(3).is_some_and(|line| line.ends_with("odd")), "{text}");
    }
}
