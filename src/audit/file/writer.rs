//! Appending whole lines to a file that is rotated by size.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::audit::Entry;
use crate::config;
use crate::private;

/// Bytes handed to the operating system at once.
const CHUNK: usize = 1 << 18;

pub(super) struct Writer {
    path: PathBuf,
    max_bytes: Option<u64>,
    max_files: usize,
    file: File,
    size: u64,
    /// Written since the last sync.
    dirty: bool,
    /// The last byte written is not a line break: a line is torn.
    torn: bool,
    /// A note of dropped lines that could not be written.
    undone_dropped: u64,
}

impl Writer {
    pub fn open(settings: &config::AuditFile) -> io::Result<Self> {
        let (file, size, torn) = open(&settings.path)?;
        Ok(Self {
            path: settings.path.clone(),
            max_bytes: settings.max_bytes,
            max_files: settings.max_files,
            file,
            size,
            dirty: false,
            torn,
            undone_dropped: 0,
        })
    }

    /// Opens the file anew; after an error the old one is still in use.
    pub fn reopen(&mut self) -> io::Result<()> {
        (self.file, self.size, self.torn) = open(&self.path)?;
        Ok(())
    }

    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.dirty = false;
        Ok(())
    }

    /// How many dropped lines the last call of [`Writer::write`] failed to tell.
    pub fn undone_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.undone_dropped)
    }

    /// Appends the lines, after a line about `dropped` ones if there are any.
    /// What was written is taken from `lines`; after an error the rest is still
    /// there.
    pub fn write(&mut self, dropped: u64, lines: &mut VecDeque<Arc<Entry>>) -> io::Result<()> {
        if dropped > 0 {
            let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let line = format!(
                "{{\"timestamp\":{},\"operation\":\"audit.dropped\",\"count\":{dropped}}}\n",
                time.as_millis()
            );
            self.append(line.as_bytes()).0.inspect_err(|_| self.undone_dropped = dropped)?;
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
            lines.drain(..whole);
            result?;
            chunk.clear();
            ends.clear();
        }
    }

    /// Writes all of it and says how much that was if it fails.
    fn append(&mut self, bytes: &[u8]) -> (io::Result<()>, usize) {
        if self.torn {
            match self.file.write_all(b"\n") {
                Ok(()) => (self.torn, self.size) = (false, self.size + 1),
                Err(error) => return (Err(error), 0),
            }
        }
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
