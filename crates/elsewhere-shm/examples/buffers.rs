//! Measures how fast bytes get into a buffer of the pool, beside a plain copy between two arrays of the process.
//!
//! `cargo run --release -p elsewhere-shm --example buffers`; medians of the rounds, in which the ways take turns. Warm is a
//! buffer that was used before, cold one that is made for the purpose.
#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use elsewhere_shm::pool::{Lender, Pool};

const ROUNDS: usize = 21;

fn timed(mut way: impl FnMut()) -> Duration {
    let begin = Instant::now();
    way();
    begin.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn main() {
    println!(
        "{:>10} {:>22} {:>22} {:>22} {:>22}",
        "bytes", "plain copy", "lent and back, warm", "copied out", "lent, cold"
    );
    for bytes in [64_usize << 10, 1 << 20, 16 << 20, 64 << 20] {
        let repeats = u32::try_from((64 << 20) / bytes).unwrap().min(200);
        let source = vec![1_u8; bytes];
        let mut target = vec![2_u8; bytes];
        let (mut here, fd) = Pool::create().unwrap();
        let mut there = Pool::open(&fd).unwrap();
        let mut times = [const { Vec::new() }; 4];
        let mut first = Some(here.lender.lend(bytes).unwrap());
        let name = first.as_ref().unwrap().name();
        if let Some(loan) = &first {
            there.borrower.accept(name, loan.bytes(), loan.fd()).unwrap();
        }
        let name = here.lender.sent(first.take().unwrap());
        drop(there.borrower.take(name, bytes).unwrap());
        for _ in 0..ROUNDS {
            times[0]
                .push(timed(|| (0..repeats).for_each(|_| black_box(&mut target).copy_from_slice(black_box(&source)))));
            times[1].push(timed(|| {
                for _ in 0..repeats {
                    let loan = here.lender.lend_with(black_box(&source)).unwrap();
                    let name = here.lender.sent(loan);
                    drop(there.borrower.take(name, bytes).unwrap());
                }
            }));
            let loan = here.lender.lend_with(&source).unwrap();
            let name = here.lender.sent(loan);
            let borrowed = there.borrower.take(name, bytes).unwrap();
            times[2].push(timed(|| (0..repeats).for_each(|_| assert!(borrowed.read(0, black_box(&mut target))))));
            drop(borrowed);
        }
        for _ in 0..5 {
            let mut made = None; // its end is not counted
            times[3]
                .push(timed(|| made = Some(Lender::make(black_box(&source), bytes, &mut || true).unwrap())) * repeats);
        }
        print!("{bytes:>10}");
        for times in times {
            let once = median(times).as_secs_f64() / f64::from(repeats);
            print!(" {:>10.1} us {:5.1} GB/s", once * 1e6, bytes as f64 / once / 1e9);
        }
        println!();
    }
}
