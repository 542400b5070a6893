//! Unix sockets: made under another name, so that whoever finds the path finds
//! a socket that answers and that only those may use who are meant to.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// The owner and their group.
const DEFAULT_MODE: u32 = 0o660;

const BACKLOG: i32 = 1024;

/// The file of a socket of ours; taken away when it is dropped, if it is still
/// the one.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours =
            |about: std::fs::Metadata| (about.dev(), about.ino()) == (self.device, self.inode);
        if std::fs::symlink_metadata(&self.path).is_ok_and(is_ours)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            log::warn!("{}: {error}", self.path.display());
        }
    }
}

/// Listens on `path`.
pub(super) fn bind(path: &Path, mode: Option<u32>) -> Result<(UnixListener, SocketFile), String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    if is_alive(path)? {
        return Err(format!("{} is in use by another process", path.display()));
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    // Left by a start that was interrupted.
    if kind(&new).map_err(failed)? == Kind::Socket {
        std::fs::remove_file(&new).map_err(failed)?;
    }
    let socket = listen(&new, mode.unwrap_or(DEFAULT_MODE)).map_err(failed)?;
    let about = std::fs::symlink_metadata(&new).map_err(failed)?;
    if let Err(error) = std::fs::rename(&new, path) {
        // The error that counts is the first one.
        let _ = std::fs::remove_file(&new);
        return Err(failed(error));
    }
    let file = SocketFile { path: path.to_owned(), device: about.dev(), inode: about.ino() };
    Ok((socket, file))
}

#[derive(PartialEq, Eq)]
enum Kind {
    Nothing,
    Socket,
    Other,
}

fn kind(path: &Path) -> io::Result<Kind> {
    match std::fs::symlink_metadata(path) {
        Ok(about) if about.file_type().is_socket() => Ok(Kind::Socket),
        Ok(_) => Ok(Kind::Other),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Kind::Nothing),
        Err(error) => Err(error),
    }
}

/// Whether somebody answers there. A socket that nobody serves any more is no
/// obstacle, anything else is.
fn is_alive(path: &Path) -> Result<bool, String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    match kind(path).map_err(failed)? {
        Kind::Nothing => return Ok(false),
        Kind::Other => return Err(format!("{} exists and is no socket", path.display())),
        Kind::Socket => {}
    }
    match connect(path) {
        // Too many wait for its answer already.
        Ok(()) | Err(rustix::io::Errno::AGAIN) => Ok(true),
        Err(rustix::io::Errno::CONNREFUSED | rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(failed(error.into())),
    }
}

/// Does not wait.
fn connect(path: &Path) -> rustix::io::Result<()> {
    let socket = open()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}

fn open() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// The mode comes before the socket listens: nobody gets in meanwhile.
fn listen(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let socket = open()?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}
