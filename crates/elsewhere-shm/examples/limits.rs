//! What the machine can do, for `make bench`: a bare round trip between two processes, and a bare copy of bytes.
//!
//! Owns: the limits that nothing above them can beat. Must not know: rings, wake words, pools; it uses none of ours but the
//! mapping of the two bare words. `cargo run --release -p elsewhere-shm --example limits`, then a line for each figure:
//!
//! * `futex CORE CORE TRIPS` or `spin CORE CORE TRIPS`: one process on each core, one word for each direction. Answers with
//!   the median and the 99th percentile of a round trip in microseconds.
//! * `warm BYTES REPEATS` or `cold BYTES REPEATS`: memcpy into memory that was written before, or into a memfd that was just
//!   made and mapped. Answers with the median of one copy in microseconds; making and unmapping are not timed.
#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::env;
use std::ffi::c_void;
use std::hint::black_box;
use std::io::{BufRead, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use elsewhere_shm::{Segment, Sharing};
use rustix::fs::MemfdFlags;
use rustix::io::FdFlags;
use rustix::mm::{MapFlags, ProtFlags};
use rustix::thread::{CpuSet, futex, sched_setaffinity};

const PEER: &str = "ELSEWHERE_LIMITS_PEER";
/// Trips before those that count.
const WARM: u32 = 100;

/// One order to the process at the other end: how, on which core, how many trips.
#[derive(Clone, Copy)]
struct Order {
    sleeps: bool,
    core: u16,
    trips: u32,
}

impl Order {
    const BYTES: usize = 7;

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let [a, b, c, d] = self.trips.to_le_bytes();
        let [low, high] = self.core.to_le_bytes();
        [u8::from(self.sleeps), low, high, a, b, c, d]
    }

    fn from_bytes([sleeps, low, high, a, b, c, d]: [u8; Self::BYTES]) -> Self {
        Self { sleeps: sleeps != 0, core: u16::from_le_bytes([low, high]), trips: u32::from_le_bytes([a, b, c, d]) }
    }
}

/// Two words in shared memory, one for each direction, far apart.
struct Words(Segment);

impl Words {
    fn word(&self, index: usize) -> &AtomicU32 {
        assert!(index < 2);
        // SAFETY: 0 and 2048 lie in the segment, which has a page, are aligned, and are used only as these atomics.
        unsafe { AtomicU32::from_ptr(self.0.start().as_ptr().add(index * 2048).cast()) }
    }

    fn tell(&self, index: usize, turn: u32, sleeps: bool) {
        self.word(index).store(turn, Ordering::Release); // pairs with the Acquire in `hear`
        if sleeps {
            futex::wake(self.word(index), futex::Flags::empty(), 1).unwrap();
        }
    }

    fn hear(&self, index: usize, turn: u32, sleeps: bool) {
        loop {
            let seen = self.word(index).load(Ordering::Acquire); // pairs with the Release in `tell`
            if seen == turn {
                return;
            }
            if sleeps {
                let _ = futex::wait(self.word(index), futex::Flags::empty(), seen, None);
            } else {
                std::hint::spin_loop();
            }
        }
    }
}

fn pin(core: u16) {
    let mut cores = CpuSet::new();
    cores.set(core.into());
    sched_setaffinity(None, &cores).unwrap();
}

/// Answers as it is told, until the socket ends.
fn peer(fd: &str) {
    let mut socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let inherited = std::fs::OpenOptions::new().read(true).write(true).open(format!("/proc/self/fd/{fd}")).unwrap();
    let words = Words(Segment::open(inherited, 4096, Sharing::WithForks).unwrap());
    let mut bytes = [0; Order::BYTES];
    while socket.read_exact(&mut bytes).is_ok() {
        let order = Order::from_bytes(bytes);
        pin(order.core);
        socket.write_all(&[0]).unwrap();
        for turn in 1..=order.trips {
            words.hear(0, turn, order.sleeps);
            words.tell(1, turn, order.sleeps);
        }
    }
}

/// The nanoseconds of each round trip, sorted.
fn round_trips(words: &Words, socket: &mut UnixStream, order: Order) -> Vec<u64> {
    words.word(0).store(0, Ordering::Relaxed); // the order on the socket comes after both
    words.word(1).store(0, Ordering::Relaxed);
    socket.write_all(&order.to_bytes()).unwrap();
    socket.read_exact(&mut [0]).unwrap();
    let timed = (1..=order.trips).map(|turn| {
        let begin = Instant::now();
        words.tell(0, turn, order.sleeps);
        words.hear(1, turn, order.sleeps);
        nanoseconds(begin)
    });
    let mut times = timed.skip(WARM as usize).collect::<Vec<_>>();
    times.sort_unstable();
    times
}

fn nanoseconds(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_nanos()).unwrap()
}

/// What memcpy takes where both sides were written before.
fn warm_copy(bytes: usize, repeats: usize) -> Vec<u64> {
    let source = vec![1_u8; bytes];
    let mut target = vec![2_u8; bytes];
    let timed = (0..repeats).map(|_| {
        let begin = Instant::now();
        black_box(&mut target).copy_from_slice(black_box(&source));
        nanoseconds(begin)
    });
    timed.collect()
}

/// What memcpy takes into shared memory that no page was taken for yet.
fn cold_copy(bytes: usize, repeats: usize) -> Vec<u64> {
    let source = vec![1_u8; bytes];
    let timed = (0..repeats).map(|_| {
        let fd = rustix::fs::memfd_create("limits", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&fd, bytes as u64).unwrap();
        // SAFETY: a new mapping at an address of the kernel's choice; the memfd has `bytes` and nobody else has it.
        let start = unsafe {
            rustix::mm::mmap(ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &fd, 0)
        };
        let start = start.unwrap().cast::<u8>();
        // SAFETY: the mapping has `bytes`, zeroed and aligned for bytes, is not touched but by this slice, and outlives it.
        let target = unsafe { slice::from_raw_parts_mut(start, bytes) };
        let begin = Instant::now();
        black_box(target).copy_from_slice(black_box(&source));
        let taken = nanoseconds(begin);
        // SAFETY: the mapping made above, whose only slice is not used any more.
        unsafe { rustix::mm::munmap(start.cast::<c_void>(), bytes) }.unwrap();
        taken
    });
    timed.collect()
}

/// The value that `share` of the sorted values do not exceed, in microseconds.
fn quantile(sorted: &[u64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize] as f64 / 1000.0
}

/// One figure, as text.
fn answer(line: &str, words: &Words, socket: &mut UnixStream) -> String {
    let mut parts = line.split_whitespace();
    let what = parts.next().expect("a line names what is measured");
    let mut number = || parts.next().and_then(|text| text.parse::<usize>().ok()).expect("a whole number");
    match what {
        "futex" | "spin" => {
            let [here, there] = [number(), number()].map(|core| u16::try_from(core).unwrap());
            pin(here);
            let trips = u32::try_from(number()).unwrap() + WARM;
            let times = round_trips(words, socket, Order { sleeps: what == "futex", core: there, trips });
            format!("{} {}", quantile(&times, 0.5), quantile(&times, 0.99))
        }
        "warm" | "cold" => {
            let (bytes, repeats) = (number(), number());
            let mut times = if what == "warm" { warm_copy(bytes, repeats) } else { cold_copy(bytes, repeats) };
            times.sort_unstable();
            format!("{}", quantile(&times, 0.5))
        }
        _ => panic!("unknown: {what}"),
    }
}

fn main() {
    if let Ok(fd) = env::var(PEER) {
        return peer(&fd);
    }
    let (segment, fd) = Segment::create(4096, Sharing::WithForks).unwrap();
    let (mut socket, other) = UnixStream::pair().unwrap();
    rustix::io::fcntl_setfd(&fd, FdFlags::empty()).unwrap();
    let mut child = Command::new(env::current_exe().unwrap())
        .env(PEER, fd.as_raw_fd().to_string())
        .stdin(Stdio::from(OwnedFd::from(other)))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let words = Words(segment);
    for line in std::io::stdin().lock().lines() {
        println!("{}", answer(&line.unwrap(), &words, &mut socket));
    }
    drop(socket);
    child.wait().unwrap();
}
