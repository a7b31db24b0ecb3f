//! The process that started this one as a host.
//! Owns: the socket that came as stdin. Must not know: what the host does for its owner.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use elsewhere_proto::Config;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, PidfdFlags, getppid, pidfd_open};

use crate::inbox::Inbox;
use crate::link::{Kind, Link};
use crate::transport::Transport;
use crate::watch;

/// The process at the other end of the socket that came as stdin: the one that made it, whoever forked this one. To be
/// asked before [`adopt_stdin`]. 0 where that one is outside our PID namespace.
///
/// # Errors
/// Those of the system; also when stdin is no socket.
pub fn owner_pid() -> io::Result<u32> {
    Ok(pid_of_peer(io::stdin())?.map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs()))
}

/// The process that made the pair of which `socket` is one; None where it is outside our PID namespace. Then it has the
/// number 0, which rustix takes for impossible, and so has our parent.
fn pid_of_peer(socket: impl AsFd) -> io::Result<Option<Pid>> {
    if getppid().is_none() {
        return Ok(None);
    }
    Ok(Some(socket_peercred(socket)?.pid))
}

/// Makes this process the host of whoever gave it a connected socket as stdin. The socket moves to another descriptor and
/// stdin becomes `/dev/null`, so that code here that reads stdin finds its end.
///
/// When the owner closes, [`Link::wait_inbox`] goes on until all is done and then tells the end. When the owner is gone,
/// it tells the end at once, every process of ours sees the end of its stream at once, and a second later this process
/// is killed, whatever it is busy with.
///
/// # Errors
/// Those of the system; also when stdin is no socket.
pub fn adopt_stdin(config: Config, inbox: Arc<Inbox>) -> io::Result<Arc<Link>> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    // The process at the other end, which made the pair. A second sign of its end beside that of the stream, which
    // anybody who inherited the other socket holds back. Where it cannot be had the stream alone must do.
    let owner = pid_of_peer(&socket)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    let link = Link::with_kind(Transport::answer(socket)?, config, inbox, Kind::Owner)?;
    watch::set_owner(&link, owner.and_then(|owner| pidfd_open(owner, PidfdFlags::empty()).ok()))?;
    link.serve();
    Ok(link)
}
