//! Segments on the real system: what is made, what is refused, what a child of a fork has.
//! Owns: the descriptors it breaks on purpose. Must not know: rings and pools.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use rustix::fs::{Mode, ftruncate};

use super::*;

const BYTES: usize = 64 * 1024;

fn memfd(bytes: usize, seals: SealFlags) -> OwnedFd {
    let fd = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::fallocate(&fd, FallocateFlags::empty(), 0, bytes as u64).unwrap();
    rustix::fs::fcntl_add_seals(&fd, seals).unwrap();
    fd
}

fn refusal(fd: impl AsFd, bytes: usize) -> SegmentError {
    Segment::open(fd, bytes, Sharing::WithForks).unwrap_err()
}

fn bytes_at(segment: &Segment, offset: usize, len: usize) -> Vec<u8> {
    let mut found = vec![0; len];
    assert!(segment.read(offset, &mut found));
    found
}

#[test]
fn both_sides_see_the_same_bytes() {
    let (here, fd) = Segment::create(BYTES, Sharing::WithForks).unwrap();
    let there = Segment::open(&fd, BYTES, Sharing::WithForks).unwrap();
    drop(fd);

    assert!(here.write(100, b"hello"));

    assert_eq!(bytes_at(&there, 99, 7), b"\0hello\0");
    assert_ne!(here.start(), there.start());
}

#[test]
fn peer_keeps_the_bytes_when_the_maker_is_gone() {
    let (here, fd) = Segment::create_with(b"last words", 1, Sharing::WithForks, &mut || true).unwrap();
    let there = Segment::open(&fd, 1, Sharing::WithForks).unwrap();

    drop((here, fd));

    assert_eq!(bytes_at(&there, 0, 11), b"last words\0");
}

#[test]
fn size_is_rounded_up_to_pages_and_zeroed() {
    let (segment, fd) = Segment::create_with(b"x", BYTES + 1, Sharing::WithForks, &mut || true).unwrap();

    assert_eq!(segment.bytes(), BYTES + 4096);
    assert!(bytes_at(&segment, 1, segment.bytes() - 1).iter().all(|byte| *byte == 0));
    assert!(Segment::open(&fd, BYTES + 1, Sharing::WithForks).is_ok());
}

#[test]
fn size_of_a_segment_cannot_change() {
    let (_segment, fd) = Segment::create(BYTES, Sharing::WithForks).unwrap();

    assert_eq!(ftruncate(&fd, 0), Err(Errno::PERM));
    assert_eq!(ftruncate(&fd, 2 * BYTES as u64), Err(Errno::PERM));
    assert_eq!(rustix::fs::fcntl_add_seals(&fd, SealFlags::WRITE), Err(Errno::PERM));
}

#[test]
fn descriptor_is_closed_in_programs_started_later() {
    let (_segment, fd) = Segment::create(BYTES, Sharing::WithForks).unwrap();

    assert!(rustix::io::fcntl_getfd(&fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
fn segment_has_no_name() {
    let (_segment, fd) = Segment::create(BYTES, Sharing::WithForks).unwrap();

    let target = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();

    assert_eq!(target.to_str().unwrap(), "/memfd:elsewhere (deleted)");
    assert_eq!(rustix::fs::fstat(&fd).unwrap().st_nlink, 0);
}

#[test]
fn access_outside_is_refused() {
    let (segment, _fd) = Segment::create(4096, Sharing::WithForks).unwrap();

    assert!(segment.write(4095, b"x") && segment.write(4096, b""));
    assert!(!segment.write(4095, b"xy") && !segment.write(usize::MAX, b"x"));
    assert!(!segment.read(4096, &mut [0]) && !segment.read(usize::MAX, &mut []));
}

#[test]
fn impossible_sizes_are_refused() {
    for bytes in [0, usize::MAX, isize::MAX as usize + 1] {
        assert_eq!(Segment::create(bytes, Sharing::WithForks).unwrap_err(), SegmentError::Size(bytes));
    }
    assert!(matches!(
        Segment::create_with(&[1; 4097], 4096, Sharing::WithForks, &mut || true),
        Err(SegmentError::Size(4096))
    ));
}

#[test]
fn more_than_the_machine_has_is_an_error_and_no_more() {
    // Asked before anything is allocated: the kernel would rather kill than refuse.
    let error = Segment::create(1 << 56, Sharing::WithForks).unwrap_err();

    assert!(matches!(error, SegmentError::Memory(_) | SegmentError::FileLimit { .. }), "{error}");
}

#[test]
fn memory_that_could_shrink_is_refused() {
    for seals in [SealFlags::empty(), SealFlags::SEAL, SealFlags::SHRINK | SealFlags::SEAL, SEALS - SealFlags::SEAL] {
        let error = refusal(memfd(BYTES, seals), BYTES);

        assert!(matches!(error, SegmentError::Seals { .. }), "{error}");
    }
}

#[test]
fn memory_that_forbids_to_write_is_refused() {
    for seal in [SealFlags::WRITE, SealFlags::FUTURE_WRITE] {
        assert!(matches!(refusal(memfd(BYTES, SEALS | seal), BYTES), SegmentError::Seals { .. }));
    }
}

#[test]
fn memory_of_another_size_is_refused() {
    for named in [BYTES - 4096, BYTES + 1] {
        let expected = named.next_multiple_of(4096);
        let error = refusal(memfd(BYTES, SEALS), named);

        assert_eq!(error, SegmentError::WrongSize { found: BYTES as u64, expected });
    }
}

#[test]
fn memory_with_holes_is_refused() {
    let fd = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&fd, BYTES as u64).unwrap();
    rustix::fs::fcntl_add_seals(&fd, SEALS).unwrap();

    assert_eq!(refusal(fd, BYTES), SegmentError::Holes { found: 0, expected: BYTES });
}

#[test]
fn descriptor_only_for_reading_is_refused() {
    let fd = memfd(BYTES, SEALS);
    let reading = rustix::fs::open(format!("/proc/self/fd/{}", fd.as_raw_fd()), OFlags::RDONLY, Mode::empty()).unwrap();

    assert_eq!(refusal(reading, BYTES), SegmentError::NotWritable);
}

#[test]
fn what_is_no_memory_is_refused() {
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let program = fs::File::open(std::env::current_exe().unwrap()).unwrap();
    let device = fs::OpenOptions::new().read(true).write(true).open("/dev/zero").unwrap();

    for fd in [socket.as_fd(), program.as_fd(), device.as_fd()] {
        assert_eq!(refusal(fd, BYTES), SegmentError::NotMemory(Errno::INVAL));
    }
}

/// KiB of the segment that are in the page table.
pub(crate) fn resident(segment: &Segment) -> String {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let begin = format!("\n{:x}-", segment.start().as_ptr().addr());
    let mapping = smaps.split(&begin).nth(1).unwrap();
    let line = mapping.lines().find(|line| line.starts_with("Rss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

#[test]
fn pages_are_mapped_from_the_start() {
    let (segment, fd) = Segment::create(16 * 4096, Sharing::WithForks).unwrap();
    let opened = Segment::open(&fd, 16 * 4096, Sharing::WithForks).unwrap();

    assert_eq!([&segment, &opened].map(resident), ["64", "64"]);
}

#[test]
fn pages_that_were_written_before_are_mapped_when_they_are_wanted() {
    let (segment, _fd) = Segment::create_with(&[7; 16 * 4096], 16 * 4096, Sharing::WithForks, &mut || true).unwrap();
    let before = resident(&segment);

    segment.populate();
    segment.populate();

    assert_eq!((before.as_str(), resident(&segment).as_str()), ("0", "64"));
    let (older, _fd) = Segment::create_with(&[7; 16 * 4096], 16 * 4096, Sharing::WithForks, &mut || true).unwrap();
    older.touch();
    assert_eq!(resident(&older), "64");
    assert_eq!(bytes_at(&segment, 0, segment.bytes()), [7; 16 * 4096]);
}

#[test]
fn pages_are_mapped_lazily_with_those_around_them() {
    let (_ours, fd) = Segment::create(16 * 4096, Sharing::WithForks).unwrap();
    let opened = Segment::open_lazily(&fd, 16 * 4096, Sharing::WithForks).unwrap();
    let before = resident(&opened);

    opened.touch();

    assert_eq!((before.as_str(), resident(&opened).as_str()), ("0", "64"));
}

#[test]
fn drop_gives_the_memory_back() {
    let (segment, fd) = Segment::create(BYTES, Sharing::WithForks).unwrap();
    let inode = rustix::fs::fstat(&fd).unwrap().st_ino.to_string();
    let is_it = |line: &str| line.contains("/memfd:elsewhere") && line.split_whitespace().any(|word| word == inode);
    let is_mapped = || fs::read_to_string("/proc/self/maps").unwrap().lines().any(is_it);
    let was_mapped = is_mapped();

    drop(segment);

    assert!(was_mapped && !is_mapped());
}

/// Runs `check` in a forked child and tells what it returned.
fn in_a_fork(check: impl Fn() -> bool + Send + Sync + 'static) -> bool {
    let mut command = Command::new("true");
    let report =
        move || if check() { Ok(()) } else { Err(std::io::Error::from_raw_os_error(Errno::BADMSG.raw_os_error())) };
    // SAFETY: the closure reads and writes mapped memory and makes system calls; it neither allocates nor locks.
    unsafe { command.pre_exec(report) };
    command.status().is_ok_and(|status| status.success())
}

#[test]
fn fork_has_no_ring_and_knows_it() {
    let (segment, _fd) = Segment::create(BYTES, Sharing::NotWithForks).unwrap();
    let segment = Arc::new(segment);
    let checked = Arc::clone(&segment);

    assert!(in_a_fork(move || !checked.is_here() && !checked.write(0, b"x") && !checked.read(0, &mut [0])));

    assert!(segment.is_here() && segment.write(0, b"x"));
}

#[test]
fn fork_shares_buffers() {
    let (segment, _fd) = Segment::create(BYTES, Sharing::WithForks).unwrap();
    let segment = Arc::new(segment);
    let checked = Arc::clone(&segment);

    assert!(in_a_fork(move || checked.is_here() && !checked.is_own() && checked.write(0, b"from the child")));

    assert_eq!(bytes_at(&segment, 0, 14), b"from the child");
}
