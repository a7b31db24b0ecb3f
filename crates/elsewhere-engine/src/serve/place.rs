//! Where in the file system a server listens.
//! Owns: the directories of sockets and what may stand in them. Must not know: what is said on a connection.
//!
//! A socket lies in a directory that is its user's alone, and never in the abstract namespace, which has no owner. It is
//! bound under another name and renamed, under the lock of the directory, so that its name never leads to a socket that
//! nobody listens on, and so that of two servers that want one name exactly one gets it.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::{ServeError, random};

/// The longest path that the address of a socket has room for.
const PATH_MAX: usize = 107;
/// What the name of a socket adds to that of its directory, at most.
const NAME_ROOM: usize = 64;
/// How many connections may wait to be accepted.
const BACKLOG: i32 = 128;

/// A socket that is listened on, and the name that leads to it.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Device and inode: what is removed at the end is this very socket, or nothing.
    identity: (u64, u64),
}

/// A new name for a socket, in a directory of this user's alone that is made if need be.
///
/// # Errors
/// [`ServeError::Place`] that names every directory that was tried, and what is wrong with it.
pub fn new_path(temporary: &Path) -> Result<PathBuf, ServeError> {
    let mut problems = Vec::new();
    let uid = rustix::process::geteuid().as_raw();
    let of_session = std::env::var_os("XDG_RUNTIME_DIR").map(|directory| Path::new(&directory).join("elsewhere"));
    let elsewhere = |parent: &Path| parent.join(format!("elsewhere-{uid}"));
    let candidates = of_session.into_iter().chain([elsewhere(temporary), elsewhere(Path::new("/tmp"))]);
    for directory in candidates {
        if directory.as_os_str().len() + NAME_ROOM > PATH_MAX {
            problems.push(format!("{} is too long a path for a socket", directory.display()));
            continue;
        }
        match make_own_directory(&directory) {
            Ok(()) => {
                let name: String = random::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
                return Ok(directory.join(format!("{name}.socket")));
            }
            Err(problem) => problems.push(problem),
        }
    }
    Err(ServeError::Place(format!("no directory for a socket: {}", problems.join("; "))))
}

fn make_own_directory(directory: &Path) -> Result<(), String> {
    let made = std::fs::DirBuilder::new().mode(0o700).create(directory);
    if let Err(error) = made
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(format!("{} cannot be made ({error})", directory.display()));
    }
    check_own(directory)?;
    // A full or read-only file system is found out here, where there is another directory to go to.
    let probe = directory.join(format!(".{:016x}", u64::from_ne_bytes(random())));
    File::create_new(&probe).map_err(|error| format!("{} cannot be written to ({error})", directory.display()))?;
    let _ = std::fs::remove_file(&probe);
    Ok(())
}

/// Whether nobody but this user can put anything into the directory.
fn check_own(directory: &Path) -> Result<(), String> {
    let shown = directory.display();
    let found = std::fs::symlink_metadata(directory).map_err(|error| format!("{shown}: {error}"))?;
    if !found.is_dir() {
        return Err(format!("{shown} is not a directory"));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(format!("{shown} belongs to another user"));
    }
    if found.mode() & 0o022 != 0 {
        return Err(format!("others may write to {shown} (its mode is {:o})", found.mode() & 0o777));
    }
    Ok(())
}

/// Listens at `path`.
///
/// # Errors
/// [`ServeError::InUse`] where a server lives there, [`ServeError::Place`] where something else stands there or the
/// directory is not this user's alone.
pub(super) fn listen(path: &Path) -> Result<(OwnedFd, Place), ServeError> {
    let wrong = |text: String| ServeError::Place(text);
    let shown = path.display();
    if path.as_os_str().len() > PATH_MAX {
        return Err(wrong(format!("{shown} is longer than the {PATH_MAX} bytes that the path of a socket may have")));
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(wrong(format!("{shown} is not the path of a file")));
    };
    let directory = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    check_own(&std::fs::canonicalize(directory).map_err(|error| wrong(format!("{}: {error}", directory.display())))?)
        .map_err(|problem| {
        wrong(format!("{problem}; a socket lies in a directory that is its user's alone, such as one of mode 700"))
    })?;
    let failed = |error: io::Error| wrong(format!("cannot listen at {shown}: {error}"));
    let guard = File::open(directory).map_err(failed)?;
    flock(guard.as_fd(), FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?; // until the end of this scope
    check_free(path)?;
    let mut hidden = PathBuf::from(directory);
    hidden.push(format!(".{:08x}", u32::from_ne_bytes(random())));
    // A short name: the long one is the user's, and may be all that fits.
    if hidden.as_os_str().len() > PATH_MAX {
        return Err(wrong(format!("{shown}: the path of its directory is too long for a socket")));
    }
    let bound = bind(&hidden).and_then(|socket| {
        std::fs::set_permissions(&hidden, Permissions::from_mode(0o600))?;
        rustix::net::listen(&socket, BACKLOG)?;
        let found = std::fs::symlink_metadata(&hidden)?;
        std::fs::rename(&hidden, directory.join(name))?;
        Ok((socket, Place { path: path.to_owned(), identity: (found.dev(), found.ino()) }))
    });
    bound.map_err(|error| {
        let _ = std::fs::remove_file(&hidden);
        failed(error)
    })
}

fn bind(path: &Path) -> io::Result<OwnedFd> {
    let socket = stream_socket()?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

pub(super) fn stream_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// Whether a socket may be put at `path`: nothing is there, or a socket that nobody listens on any more.
fn check_free(path: &Path) -> Result<(), ServeError> {
    let shown = path.display();
    let found = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ServeError::Place(format!("{shown}: {error}"))),
        Ok(found) => found,
    };
    if !found.file_type().is_socket() {
        return Err(ServeError::Place(format!("{shown} is there already and is no socket; it is left as it is")));
    }
    let socket = stream_socket().map_err(|error| ServeError::Place(format!("{shown}: {error}")))?;
    let tried = SocketAddrUnix::new(path).and_then(|address| rustix::net::connect(&socket, &address));
    match tried {
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(()),
        Ok(()) => {
            let pid = socket_peercred(&socket).map_or(0, |peer| peer.pid.as_raw_nonzero().get());
            Err(ServeError::InUse(format!("{shown} is served already, by process {pid}")))
        }
        Err(Errno::AGAIN) => Err(ServeError::InUse(format!("{shown} is served already"))),
        Err(error) => Err(ServeError::Place(format!("{shown}: {error}"))),
    }
}

impl Place {
    /// Takes the name away, if it still leads to this socket. To be called while the socket is open.
    pub(super) fn remove(&self) {
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let Ok(guard) = File::open(directory) else { return };
        if flock(guard.as_fd(), FlockOperation::LockExclusive).is_err() {
            return;
        }
        let is_ours =
            std::fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if is_ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
