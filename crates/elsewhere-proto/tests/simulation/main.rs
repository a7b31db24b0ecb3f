//! Two peers in virtual time on a network that delays, splits, merges and cuts.
//! Owns: the scenario and what must hold in each. Must not know: how a connection works inside.
//!
//! A failing seed is printed; `ELSEWHERE_SEED=<n>` runs that one alone, `ELSEWHERE_SEEDS=<n>` runs that many.

#![expect(clippy::disallowed_methods, reason = "the wall is around the crate; its tests read their settings")]
#![expect(clippy::print_stderr, reason = "the seed of a failure must be seen")]

mod host;
mod ledger;
mod peer;
mod random;
mod wire;

use ledger::Ledger;
use peer::{Peer, at};
use random::Random;
use wire::Wire;

const SEEDS: u64 = 2_000;

struct World {
    random: Random,
    now: u64,
    peers: [Peer; 2],
    /// `wires[n]` carries what peer n sends.
    wires: [Wire; 2],
    ledger: Ledger,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut capacity = || [700, 20_000, 300_000][random.below(3)];
        let wires = [Wire::new(capacity()), Wire::new(capacity())];
        let peers = [Peer::new(0, &mut random), Peer::new(1, &mut random)];
        Self { random, now: 0, peers, wires, ledger: Ledger::default() }
    }

    /// What a peer has to send goes to its wire.
    fn send(&mut self, index: usize) {
        let Self { random, peers, wires, now, .. } = self;
        let connection = &mut peers[index].connection;
        while let Some(bytes) = connection.poll_transmit() {
            let count = wires[index].accept(bytes, *now, random);
            connection.transmitted(count);
            if count == 0 {
                break;
            }
        }
    }

    /// What has arrived at a peer is taken in.
    fn deliver(&mut self, index: usize) {
        for part in self.wires[1 - index].arrived(self.now, &mut self.random) {
            let received = self.peers[index].connection.receive(&part, at(self.now));
            received.expect("peers that follow the rules break none");
        }
        self.peers[index].handle_events(&mut self.ledger);
    }

    fn tick(&mut self, index: usize) {
        let connection = &mut self.peers[index].connection;
        if connection.poll_timeout().is_some_and(|due| due <= at(self.now)) {
            connection.handle_timeout(at(self.now));
            self.peers[index].handle_events(&mut self.ledger);
        }
    }

    fn step(&mut self, index: usize, is_acting: bool) {
        self.tick(index);
        if is_acting && self.random.chance(60) {
            self.peers[index].act(self.now, &mut self.random, &mut self.ledger);
        }
        self.peers[index].run(self.now, &mut self.random, &mut self.ledger);
        if self.random.chance(70) {
            self.send(index);
        }
        if self.random.chance(70) {
            self.deliver(index);
        }
    }

    fn run_for(&mut self, steps: usize) {
        for _ in 0..steps {
            self.now += self.random.next() % 3;
            let index = self.random.below(2);
            self.step(index, true);
        }
    }

    /// Lets both finish what they have; every call must end.
    fn settle(&mut self) {
        for round in 0.. {
            let [one, other] = self.peers.each_ref();
            assert!(round < 100_000, "never came to rest:\n{}\n{}", one.describe(), other.describe());
            self.now += 1;
            for index in [0, 1] {
                self.peers[index].credit_all(&mut self.ledger);
                self.step(index, false);
                self.send(index);
            }
            if self.peers.iter().all(Peer::is_idle) && self.wires.iter().all(Wire::is_empty) {
                break;
            }
        }
        for peer in &mut self.peers {
            peer.release_all(&mut self.ledger);
        }
        for _ in 0..20 {
            self.now += 10;
            for index in [0, 1] {
                self.send(index);
                self.deliver(index);
            }
        }
    }

    fn end_in_peace(&mut self) {
        self.settle();
        self.peers[0].connection.close();
        for _ in 0..10 {
            self.now += 10;
            self.send(0);
            self.deliver(1);
        }
        assert!(self.peers[1].connection.is_peer_closing());
        self.ledger.check_all_ended();
        self.ledger.check_posts_ran();
        for peer in &self.peers {
            peer.check_empty();
        }
    }

    /// One peer dies: what it had handed over arrives, then the stream ends.
    fn end_by_death(&mut self) {
        let dead = self.random.below(2);
        let survivor = 1 - dead;
        self.now += 1000;
        self.deliver(survivor);
        self.peers[survivor].connection.disconnect();
        self.peers[survivor].lose(&mut self.ledger);
        self.peers[dead].connection.abandon();
        self.peers[dead].lose(&mut self.ledger);
        self.ledger.check_all_ended();
    }

    /// The stream breaks at some byte; each side notices in its own time, and goes on until it does.
    fn end_by_cut(&mut self) {
        for wire in &mut self.wires {
            wire.cut(&mut self.random);
        }
        self.now += 1000;
        let first = self.random.below(2);
        for index in [first, 1 - first] {
            self.deliver(index);
            for _ in 0..self.random.below(20) {
                self.peers[index].run(self.now, &mut self.random, &mut self.ledger);
                while let Some(count) = self.peers[index].connection.poll_transmit().map(<[u8]>::len) {
                    self.peers[index].connection.transmitted(count);
                }
            }
            self.peers[index].connection.abandon();
            self.peers[index].lose(&mut self.ledger);
        }
        self.ledger.check_all_ended();
    }
}

fn simulate(seed: u64) {
    let mut world = World::new(seed);
    let steps = 20 + world.random.below(400);
    world.run_for(steps);
    match world.random.below(3) {
        0 => world.end_in_peace(),
        1 => world.end_by_death(),
        _ => world.end_by_cut(),
    }
}

fn number_from(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Says which seed it is when the test fails inside it.
struct Announce(u64);

impl Drop for Announce {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!("failed with seed {seed}; run it alone: ELSEWHERE_SEED={seed} cargo test --test simulation");
        }
    }
}

#[test]
fn peers_of_the_simulation_keep_their_promises() {
    let seeds = match number_from("ELSEWHERE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number_from("ELSEWHERE_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let _announce = Announce(seed);
        simulate(seed);
    }
}

#[test]
fn same_seed_gives_the_same_history() {
    let history = |seed| {
        let mut world = World::new(seed);
        world.run_for(300);
        (world.now, world.peers.map(|peer| peer.connection.stats()))
    };

    assert_eq!(history(7), history(7));
}
