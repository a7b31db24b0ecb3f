//! Buffers between two processes: lent, given back, used again, and what is left after a death.

mod support;

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Child;

use elsewhere_shm::pool::{Borrowed, BufferName, Lender, PoolError, Purpose, SLOTS};
use elsewhere_shm::{Channel, Progress, Segment, Sharing};
use support::*;

#[test]
fn peer_main() {
    let Some((role, socket)) = role() else { return };
    let fd = receive_fd(&socket).unwrap();
    let end = || End { channel: Channel::open(&fd).unwrap(), socket: UnixStream::from(socket.try_clone().unwrap()) };
    match role.as_str() {
        "answers" => answer(&mut end()),
        "records" => record(&end().channel),
        "scribbles" => scribble(&fd),
        _ => unreachable!("{role}"),
    }
}

/// One end of a connection: a channel, and a socket for descriptors.
struct End {
    channel: Channel,
    socket: UnixStream,
}

/// A message that names a buffer: slot, generation, bytes, bytes of the segment, whether a descriptor was sent before.
const MESSAGE: usize = 20;

impl End {
    fn send(&mut self, content: &[u8]) {
        let loan = self.channel.pool.lender.lend_with(content).unwrap();
        let (whole, is_new) = (loan.bytes(), loan.fd().is_some());
        if let Some(fd) = loan.fd() {
            send_fd(&self.socket, fd);
        }
        let name = self.channel.pool.lender.sent(loan);
        let words = [name.slot, name.generation, content.len() as u32, whole as u32, is_new.into()];
        self.channel.sender.send_whole(&words.map(u32::to_le_bytes).each_ref().map(|word| &word[..])).unwrap();
    }

    /// None at the end.
    fn receive(&mut self) -> Option<Borrowed> {
        let mut message = [0; MESSAGE];
        let mut count = 0;
        while count < MESSAGE {
            count += receive(&mut self.channel, &mut message[count..]).unwrap()?;
        }
        let words: Vec<u32> = message.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
        let name = BufferName { slot: words[0], generation: words[1] };
        if words[4] == 1 {
            let fd = receive_fd(&self.socket).unwrap();
            self.channel.pool.borrower.accept(name, words[3] as usize, Some(fd)).unwrap();
        }
        Some(self.channel.pool.borrower.take(name, words[2] as usize).unwrap())
    }
}

/// A child with the other end.
fn start_end(role: &str) -> (End, Child, OwnedFd) {
    let (channel, fd) = Channel::create().unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    send_fd(&here, &fd);
    let child = start(role, there.into());
    (End { channel, socket: here }, child, fd)
}

/// Sends back what comes with every byte turned over, and gives the buffer back after that.
fn answer(end: &mut End) {
    while let Some(borrowed) = end.receive() {
        let content: Vec<u8> = borrowed.to_vec().into_iter().map(|byte| !byte).collect();
        end.send(&content);
    }
}

fn record(channel: &Channel) -> ! {
    channel.recorder.keep();
    channel.recorder.start(1);
    channel.recorder.finish(1);
    channel.recorder.start(2);
    loop {
        channel.doorbell.ring().unwrap();
        std::thread::yield_now();
    }
}

/// Writes nonsense into the free tables.
fn scribble(fd: &OwnedFd) {
    let bytes = usize::try_from(rustix::fs::fstat(fd).unwrap().st_size).unwrap();
    let segment = Segment::open(fd, bytes, Sharing::WithForks).unwrap();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    loop {
        let value = numbers.next();
        let value = if value & 1 == 0 { value as u32 % 100 } else { (value >> 32) as u32 };
        let slot = usize::try_from(numbers.next()).unwrap() % (2 * SLOTS);
        assert!(segment.write(4096 + 4 * slot, &value.to_ne_bytes()));
    }
}

#[test]
fn buffers_go_there_and_back_and_are_used_again() {
    let _watchdog = Watchdog::new("buffers_go_there_and_back_and_are_used_again");
    let (mut end, mut child, _fd) = start_end("answers");
    let mut numbers = Numbers(42);
    let mut slots = HashSet::new();
    let mut held: Vec<(Borrowed, Vec<u8>)> = Vec::new();

    for round in 0..3000_u32 {
        let bytes = [100, 65_536, 70_000, 300_000][usize::try_from(numbers.next() % 4).unwrap()];
        let content = vec![round as u8; bytes];
        end.send(&content);
        let borrowed = end.receive().unwrap();
        slots.insert(borrowed.name().slot);
        held.push((borrowed, vec![!(round as u8); bytes]));
        if held.len() > 8 {
            let index = usize::try_from(numbers.next()).unwrap() % held.len();
            let (borrowed, expected) = held.swap_remove(index);
            assert_eq!(borrowed.to_vec(), expected, "round {round}");
        }
    }

    assert!(held.iter().all(|(borrowed, expected)| borrowed.to_vec() == *expected));
    assert!(slots.len() <= 4 * 10, "{}", slots.len());
    end.channel.pool.lender.collect().unwrap();
    let (lent, free) = end.channel.pool.lender.counts();
    assert!(lent + free <= 8, "{lent} lent, {free} free");
    end.channel.sender.close();
    assert!(child.wait().unwrap().success());
}

#[test]
fn buffer_of_a_peer_that_was_killed_stays_until_it_is_dropped() {
    let _watchdog = Watchdog::new("buffer_of_a_peer_that_was_killed_stays_until_it_is_dropped");
    let (mut end, mut child, _fd) = start_end("answers");
    end.send(&[1; 100_000]);
    let borrowed = end.receive().unwrap();
    let address = format!("{:x}-", borrowed.start().as_ptr().addr());
    let maps = || std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps().lines().find(|line| line.starts_with(&address)).unwrap().to_owned();
    let inode = line.split_whitespace().nth(4).unwrap().parse().unwrap();

    child.kill().unwrap();
    child.wait().unwrap();
    drop(end);

    assert_eq!(borrowed.to_vec(), [254; 100_000]);
    assert!(is_mapped(inode));
    drop(borrowed);
    assert!(!is_mapped(inode));
}

#[test]
fn record_outlives_who_wrote_it() {
    let _watchdog = Watchdog::new("record_outlives_who_wrote_it");
    let (end, mut child, _fd) = start_end("records");
    sleep(&end.channel, None);

    child.kill().unwrap();
    child.wait().unwrap();

    let progress = [0, 1, 2, 3].map(|call| end.channel.recorder.progress(call));
    assert_eq!(progress, [Progress::NotStarted, Progress::Finished, Progress::Started, Progress::NotStarted].map(Some));
}

#[test]
fn process_that_scribbles_into_the_tables_causes_errors_and_nothing_else() {
    let _watchdog = Watchdog::new("process_that_scribbles_into_the_tables_causes_errors_and_nothing_else");
    let (_kept, mut child, fd) = start_end("scribbles");
    let mut violations = 0;

    for round in 0..200 {
        // Ends of their own each time, over the same tables: after a violation an end is of no use.
        let mut channel = Channel::open(&fd).unwrap();
        let mut loans = Vec::new();
        for number in 0..20_u8 {
            match channel.pool.lender.lend_with(&[number; 100]) {
                Ok(loan) => loans.push(loan),
                Err(PoolError::Violated(_)) => violations += 1,
                Err(error) => panic!("{error} in round {round}"),
            }
        }
        for loan in loans {
            let (bytes, fd) = (loan.bytes(), loan.fd().map(|fd| fd.try_clone_to_owned().unwrap()));
            let name = channel.pool.lender.sent(loan);
            if let Some(fd) = fd {
                channel.pool.borrower.accept(name, bytes, Some(fd)).unwrap();
            }
            if let Ok(borrowed) = channel.pool.borrower.take(name, 100) {
                assert_eq!(borrowed.to_vec().len(), 100);
            }
        }
        violations += usize::from(channel.pool.lender.collect().is_err());
    }

    child.kill().unwrap();
    child.wait().unwrap();
    assert!(violations > 0);
}

#[test]
fn child_of_a_fork_gives_nothing_back() {
    use std::os::unix::process::CommandExt;
    let _watchdog = Watchdog::new("child_of_a_fork_gives_nothing_back");
    let (mut here, fd) = Channel::create().unwrap();
    let mut there = Channel::open(&fd).unwrap();
    let loan = here.pool.lender.lend_with(b"of the parent").unwrap();
    there.pool.borrower.accept(loan.name(), loan.bytes(), loan.fd()).unwrap();
    let name = here.pool.lender.sent(loan);
    let mut borrowed = Some(there.pool.borrower.take(name, 13).unwrap());
    let start = borrowed.as_ref().unwrap().start().as_ptr().addr();
    let mut command = std::process::Command::new("true");
    let give_back = move || {
        let mut seen = [0; 13];
        let is_there = borrowed.take().is_some_and(|one| one.read(0, &mut seen)) && &seen == b"of the parent";
        if is_there { Ok(()) } else { Err(std::io::ErrorKind::Other.into()) }
    };
    // SAFETY: in the child the closure reads a mapping that the child has too, and unmaps nothing: the borrower has it still.
    unsafe { command.pre_exec(give_back) };

    assert!(command.status().unwrap().success() && start > 0);

    here.pool.lender.collect().unwrap();
    assert_eq!(here.pool.lender.counts(), (1, 0));
    drop(command); // and with it the buffer of the parent
    here.pool.lender.collect().unwrap();
    assert_eq!(here.pool.lender.counts(), (0, 1));
}

#[test]
fn slow_part_of_lending_needs_no_lock() {
    let (segment, fd) =
        std::thread::spawn(|| Lender::make(b"made elsewhere", 65_536, &mut || true).unwrap()).join().unwrap();
    let (mut channel, _fd) = Channel::create().unwrap();

    channel.pool.lender.stock(segment, fd).unwrap();

    let loan = channel.pool.lender.reuse(65_536, Purpose::Own).unwrap().unwrap();
    assert_eq!((loan.bytes(), loan.fd().is_some()), (65_536, true));
}
