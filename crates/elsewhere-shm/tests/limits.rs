//! What the limits of a process do to segments. One test: the limits belong to the process.

use elsewhere_shm::wake::Rung;
use elsewhere_shm::{Channel, Segment, SegmentError, Sharing};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const BYTES: usize = 1 << 20;

/// Runs `attempt` under a lower limit.
fn limited<T>(resource: Resource, limit: u64, attempt: impl FnOnce() -> T) -> T {
    let before = getrlimit(resource);
    setrlimit(resource, Rlimit { current: Some(limit), ..before }).unwrap();
    let attempted = attempt();
    setrlimit(resource, before).unwrap();
    attempted
}

#[test]
fn limit_is_an_error_of_the_one_call() {
    let (mut channel, fd) = Channel::create().unwrap();
    let create = || Segment::create(BYTES, Sharing::WithForks).map(drop);

    // SIGXFSZ would end this process.
    let too_long = limited(Resource::Fsize, 4096, || (create(), channel.pool.lender.lend(BYTES).is_err()));
    assert_eq!(too_long, (Err(SegmentError::FileLimit { limit: 4096, bytes: BYTES }), true));

    let no_fds = limited(Resource::Nofile, 3, || (create(), channel.pool.lender.lend(BYTES).is_err()));
    assert_eq!(no_fds, (Err(SegmentError::System { call: "memfd_create", bytes: BYTES, errno: Errno::MFILE }), true));

    let no_space = limited(Resource::As, 1 << 20, || (create(), Channel::open(&fd).is_err()));
    assert_eq!(no_space, (Err(SegmentError::System { call: "mmap", bytes: BYTES, errno: Errno::NOMEM }), true));

    assert_eq!(create(), Ok(()));
    assert!(channel.pool.lender.lend(BYTES).is_ok());
    assert_eq!(channel.sender.send(b"still there"), Ok((11, Rung::Nobody)));
}
