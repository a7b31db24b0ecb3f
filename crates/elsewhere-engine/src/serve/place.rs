//! Where in the file system a server listens.
//! Owns: the directories of sockets and what may stand in them. Must not know: what is said on a connection.
//!
//! A socket lies in a directory that is its user's alone, and never in the abstract namespace, which has no owner. It is
//! bound under another name and renamed, under the lock of the directory, so that its name never leads to a socket that
//! nobody listens on, and so that of two servers that want one name exactly one gets it.
//!
//! A server that is killed leaves its name behind. Of names that were made here, those that lead nowhere are taken away by
//! the next process that makes one, and by clients that find them so. Under the lock of the directory such a name either
//! leads to a socket that is listened on, or never will again.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

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
/// What the names end with that are made here, behind as many digits as [`NAME_DIGITS`].
const SUFFIX: &str = ".socket";
const NAME_DIGITS: usize = 32;
/// What a socket is bound under before it is renamed: a dot and so many digits.
const HIDDEN_DIGITS: usize = 8;
/// What a directory is tried with: a dot and so many digits.
const PROBE_DIGITS: usize = 16;
/// After how many names of its own a process looks again for those that lead nowhere.
const SWEPT_EACH: usize = 64;
/// How many names it looks at then.
const SWEPT_MAX: usize = 256;

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
                static MADE: AtomicUsize = AtomicUsize::new(0);
                // Relaxed: how often does not matter. Each look may disturb servers that are alive.
                if MADE.fetch_add(1, Ordering::Relaxed).is_multiple_of(SWEPT_EACH) {
                    sweep(&directory);
                }
                return Ok(directory.join(format!("{name}{SUFFIX}")));
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

/// What a name in a directory of ours was made for, by its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    /// To be connected to.
    Socket,
    /// To be renamed, under the lock.
    Hidden,
    /// To find out whether the directory can be written to.
    Probe,
}

fn made_for(name: &str) -> Option<Made> {
    let (digits, made, count) = match name.strip_suffix(SUFFIX) {
        Some(digits) => (digits, Made::Socket, NAME_DIGITS),
        None if name.len() == 1 + HIDDEN_DIGITS => (name.strip_prefix('.')?, Made::Hidden, HIDDEN_DIGITS),
        None => (name.strip_prefix('.')?, Made::Probe, PROBE_DIGITS),
    };
    let is_ours = digits.len() == count && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_ours.then_some(made)
}

/// Takes away what killed processes left in a directory of ours. Does nothing where another process is at work there.
fn sweep(directory: &Path) {
    let Ok(guard) = File::open(directory) else { return };
    if flock(guard.as_fd(), FlockOperation::NonBlockingLockExclusive).is_err() {
        return;
    }
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten().take(SWEPT_MAX) {
        remove_if_stale(&entry.path());
    }
}

/// Takes away `path` if it is a name of ours that leads nowhere. For a client that found nobody there.
pub(super) fn forget(path: &Path) {
    let Some(directory) = path.parent().filter(|directory| check_own(directory).is_ok()) else { return };
    let Ok(guard) = File::open(directory) else { return };
    if flock(guard.as_fd(), FlockOperation::NonBlockingLockExclusive).is_ok() {
        remove_if_stale(path);
    }
}

/// To be called under the lock of its directory.
fn remove_if_stale(path: &Path) {
    let Some(made) = path.file_name().and_then(|name| name.to_str()).and_then(made_for) else { return };
    let Ok(found) = std::fs::symlink_metadata(path) else { return };
    let is_stale = match made {
        Made::Socket => found.file_type().is_socket() && leads_nowhere(path),
        // Nobody else has the lock, so nobody is about to rename it.
        Made::Hidden => found.file_type().is_socket(),
        // Who made it looks only at whether it could be made.
        Made::Probe => found.is_file() && found.len() == 0,
    };
    if is_stale {
        let _ = std::fs::remove_file(path);
    }
}

/// Whether nobody listens on the socket at `path`. Not said where that is not certain.
fn leads_nowhere(path: &Path) -> bool {
    let Ok(socket) = stream_socket() else { return false };
    let tried = SocketAddrUnix::new(path).and_then(|address| rustix::net::connect(&socket, &address));
    tried == Err(Errno::CONNREFUSED)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own, which its drop removes.
    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("elsewhere-place-{:016x}", u64::from_ne_bytes(random())));
            std::fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
            Self(path)
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn names(&self) -> Vec<String> {
            let entries = std::fs::read_dir(&self.0).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn name(digit: char) -> String {
        format!("{}{SUFFIX}", digit.to_string().repeat(NAME_DIGITS))
    }

    #[test]
    fn names_that_lead_nowhere_are_taken_away_and_others_stay() {
        let directory = Directory::new();
        let (_alive, _) = listen(&directory.at(&name('a'))).unwrap();
        drop(listen(&directory.at(&name('b'))).unwrap()); // as a server does that is killed: without `remove`
        drop(bind(&directory.at(".0123abcd")).unwrap());
        File::create(directory.at(".0123456789abcdef")).unwrap();

        sweep(&directory.0);

        assert_eq!(directory.names(), [name('a')]);
    }

    #[test]
    fn what_was_not_made_here_is_never_taken_away() {
        let directory = Directory::new();
        let foreign = ["dog.socket", ".hidden", ".0123456789ABCDEF", ".0123456789abcdee"];
        drop(bind(&directory.at(foreign[0])).unwrap());
        drop(bind(&directory.at(foreign[1])).unwrap());
        File::create(directory.at(foreign[2])).unwrap();
        std::fs::write(directory.at(foreign[3]), "something").unwrap();
        std::fs::write(directory.at(&name('c')), "no socket").unwrap();
        std::os::unix::fs::symlink("nowhere", directory.at(&name('d'))).unwrap();
        let before = directory.names();

        sweep(&directory.0);
        before.iter().for_each(|name| forget(&directory.at(name)));

        assert_eq!(directory.names(), before);
    }

    #[test]
    fn directory_in_which_another_process_is_at_work_is_left_alone() {
        let directory = Directory::new();
        drop(listen(&directory.at(&name('b'))).unwrap());
        let guard = File::open(&directory.0).unwrap();
        flock(&guard, FlockOperation::LockExclusive).unwrap();

        sweep(&directory.0);
        forget(&directory.at(&name('b')));

        assert_eq!(directory.names(), [name('b')]);
    }

    #[test]
    fn name_that_a_client_found_dead_is_forgotten_unless_it_is_alive_by_now() {
        let directory = Directory::new();
        drop(listen(&directory.at(&name('b'))).unwrap());
        let (_alive, _) = listen(&directory.at(&name('a'))).unwrap();

        forget(&directory.at(&name('a')));
        forget(&directory.at(&name('b')));

        assert_eq!(directory.names(), [name('a')]);
    }
}
