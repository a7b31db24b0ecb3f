//! Measures a round trip between two processes: a channel beside a bare futex, a bare spin and a pair of sockets.
//!
//! `cargo run --release -p elsewhere-shm --example ping_pong`; one line for each way and placement, in microseconds. The
//! ways take turns within each round, so that what the machine does otherwise meets all of them.
#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::env;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use elsewhere_shm::wake::{Budget, Outlook, Traffic};
use elsewhere_shm::{Channel, Received, Segment, Sharing, cores};
use rustix::io::FdFlags;
use rustix::thread::{CpuSet, futex, sched_setaffinity};

const PEER: &str = "ELSEWHERE_PING_PONG_PEER";
const ROUNDS: usize = 15;
const TRIPS: u32 = 2000;
/// Trips before those that count.
const WARM: u32 = 200;
const BYTES: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Way {
    Channel,
    SleepingChannel,
    Futex,
    Spin,
    Socket,
}

const WAYS: [(Way, &str); 5] = [
    (Way::Channel, "channel, learned spinning"),
    (Way::SleepingChannel, "channel, always asleep"),
    (Way::Futex, "bare futex"),
    (Way::Spin, "bare spin"),
    (Way::Socket, "socket pair"),
];

/// One process's ends of everything.
struct Ends {
    channel: Channel,
    budget: Budget,
    words: Words,
    socket: UnixStream,
}

/// Two bare words in shared memory, one for each direction, far apart.
struct Words(Segment);

impl Words {
    fn word(&self, index: usize) -> &AtomicU32 {
        assert!(index < 2);
        // SAFETY: 0 and 2048 lie in the segment, which has a page, are aligned, and are used only as these atomics.
        unsafe { AtomicU32::from_ptr(self.0.start().as_ptr().add(index * 2048).cast()) }
    }
}

fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).unwrap();
}

impl Ends {
    /// Receives one message on the channel.
    fn receive(&mut self, may_spin: bool) {
        let mut buffer = [0; BYTES];
        let mut count = 0;
        while count < BYTES {
            match self.channel.receiver.receive(&mut buffer[count..]).unwrap() {
                Received::Bytes { count: more, .. } => count += more,
                Received::Empty => self.wait(may_spin),
                Received::End => panic!("the peer left"),
            }
        }
    }

    /// What the waits of a connection do: spin for a while if that is worth while, then sleep.
    fn wait(&mut self, may_spin: bool) {
        let news = self.channel.lookout.news();
        let core = cores::current();
        let outlook = Outlook { core, peer_core: news.inlet.peer_core(), traffic: Traffic::Awake };
        let most = if may_spin { self.budget.begin(outlook) } else { Duration::ZERO };
        if !most.is_zero() {
            let _spinner = self.channel.lookout.spin();
            let begin = Instant::now();
            loop {
                for _ in 0..16 {
                    if news.inlet.has_news() {
                        self.budget.hit();
                        return;
                    }
                    std::hint::spin_loop();
                }
                if begin.elapsed() > most {
                    break;
                }
            }
            self.budget.miss();
        }
        self.channel.lookout.try_sleeper().expect("one thread waits").sleep(None, || false);
    }

    /// Sends (`mine` is the own word) or receives by `way`.
    fn send(&mut self, way: Way, mine: usize, turn: u32) {
        match way {
            Way::Channel | Way::SleepingChannel => self.channel.sender.send_whole(&[&[7; BYTES]]).unwrap(),
            Way::Futex | Way::Spin => {
                self.words.word(mine).store(turn, Ordering::Release);
                if way == Way::Futex {
                    futex::wake(self.words.word(mine), futex::Flags::empty(), 1).unwrap();
                }
            }
            Way::Socket => self.socket.write_all(&[7; BYTES]).unwrap(),
        }
    }

    fn take(&mut self, way: Way, theirs: usize, turn: u32) {
        match way {
            Way::Channel => self.receive(true),
            Way::SleepingChannel => self.receive(false),
            Way::Futex => loop {
                let seen = self.words.word(theirs).load(Ordering::Acquire);
                if seen == turn {
                    break;
                }
                let _ = futex::wait(self.words.word(theirs), futex::Flags::empty(), seen, None);
            },
            Way::Spin => {
                while self.words.word(theirs).load(Ordering::Acquire) != turn {
                    std::hint::spin_loop();
                }
            }
            Way::Socket => self.socket.read_exact(&mut [0; BYTES]).unwrap(),
        }
    }
}

fn budget(most: u64) -> Budget {
    Budget::new(Duration::from_micros(most), cores::allowed())
}

/// Answers as it is told, until the sockets end: two bytes say the way and the core.
fn peer() {
    let mut socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let mut numbers = env::var(PEER).unwrap().split(' ').map(|number| number.parse().unwrap()).collect::<Vec<i32>>();
    let mut inherited = || {
        let path = format!("/proc/self/fd/{}", numbers.remove(0));
        std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap()
    };
    let channel = Channel::open(inherited()).unwrap();
    let words = Words(Segment::open(inherited(), 4096, Sharing::WithForks).unwrap());
    let mut ends = Ends { channel, budget: budget(50), words, socket: socket.try_clone().unwrap() };
    let mut order = [0; 2];
    while socket.read_exact(&mut order).is_ok() {
        pin(order[1].into());
        let (way, _) = WAYS[usize::from(order[0])];
        socket.write_all(&[0]).unwrap();
        for turn in 1..=TRIPS + WARM {
            ends.take(way, 0, turn);
            ends.send(way, 1, turn);
        }
    }
}

/// One block of round trips; the time of each, sorted, in nanoseconds.
fn block(ends: &mut Ends, way: u8, core: usize) -> Vec<u64> {
    ends.words.word(0).store(0, Ordering::Relaxed);
    ends.words.word(1).store(0, Ordering::Relaxed);
    ends.socket.write_all(&[way, u8::try_from(core).unwrap()]).unwrap();
    ends.socket.read_exact(&mut [0]).unwrap();
    let (way, _) = WAYS[usize::from(way)];
    let mut times = Vec::with_capacity((TRIPS + WARM) as usize);
    for turn in 1..=TRIPS + WARM {
        let begin = Instant::now();
        ends.send(way, 0, turn);
        ends.take(way, 1, turn);
        times.push(u64::try_from(begin.elapsed().as_nanos()).unwrap());
    }
    let mut counted = times.split_off(WARM as usize);
    counted.sort_unstable();
    counted
}

fn microseconds(mut nanoseconds: Vec<u64>) -> String {
    nanoseconds.sort_unstable();
    let at = |index: usize| nanoseconds[index] as f64 / 1000.0;
    let last = nanoseconds.len() - 1;
    format!("{:8.2} [{:.2}-{:.2}]", at(last / 2), at(0), at(last))
}

fn main() {
    if env::var(PEER).is_ok() {
        return peer();
    }
    let usable = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (channel, channel_fd) = Channel::create().unwrap();
    let (segment, words_fd) = Segment::create(4096, Sharing::WithForks).unwrap();
    let (socket, other) = UnixStream::pair().unwrap();
    for fd in [&channel_fd, &words_fd] {
        rustix::io::fcntl_setfd(fd, FdFlags::empty()).unwrap();
    }
    let numbers = [&channel_fd, &words_fd].map(|fd| std::os::fd::AsRawFd::as_raw_fd(fd).to_string()).join(" ");
    let mut child = Command::new(env::current_exe().unwrap())
        .env(PEER, numbers)
        .stdin(Stdio::from(OwnedFd::from(other)))
        .spawn()
        .unwrap();
    let mut ends = Ends { channel, budget: budget(20), words: Words(segment), socket };
    pin(0);
    println!(
        "{BYTES} bytes there and back, {TRIPS} trips in each of {ROUNDS} rounds; median of the rounds [least-most], us"
    );
    for core in (0..usable.min(2)).rev() {
        let mut medians = vec![Vec::new(); WAYS.len()];
        let mut tails = vec![Vec::new(); WAYS.len()];
        for _ in 0..ROUNDS {
            for way in 0..WAYS.len() {
                if core == 0 && WAYS[way].0 == Way::Spin {
                    continue; // on one core it waits for the other's time slice to end
                }
                let times = block(&mut ends, u8::try_from(way).unwrap(), core);
                medians[way].push(times[times.len() / 2]);
                tails[way].push(times[times.len() * 99 / 100]);
            }
        }
        println!("\n{}", if core == 0 { "one core" } else { "two cores" });
        for (index, (_, name)) in WAYS.iter().enumerate().filter(|(index, _)| !medians[*index].is_empty()) {
            let (median, tail) = (microseconds(medians[index].clone()), microseconds(tails[index].clone()));
            println!("  {name:28} p50 {median:28} p99 {tail}");
        }
    }
    drop(ends);
    child.wait().unwrap();
}
