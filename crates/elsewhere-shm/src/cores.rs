//! Which core a thread runs on, and how many there are for this process.
//! Owns: the questions to the system. Must not know: what follows from the answers.

#[cfg(not(all(test, loom)))]
use crate::groups;

/// The core that the calling thread runs on now; costs 1–2 ns.
#[cfg(not(all(test, loom)))]
#[must_use]
pub fn current() -> u32 {
    u32::try_from(rustix::thread::sched_getcpu()).unwrap_or(u32::MAX)
}

#[cfg(all(test, loom))]
pub(crate) fn current() -> u32 {
    0
}

/// How many cores this thread may use at a time: by its affinity, and by the quota of its control group. At least one.
#[cfg(not(all(test, loom)))]
#[must_use]
pub fn usable() -> usize {
    let by_affinity = rustix::thread::sched_getaffinity(None).map_or(1, |cores| cores.count() as usize);
    let by_quota = groups::least(cores_of).unwrap_or(usize::MAX);
    by_affinity.min(by_quota).max(1)
}

/// The whole cores in a quota such as `150000 100000`. None without a limit.
#[cfg(not(all(test, loom)))]
fn cores_of(folder: &std::path::Path) -> Option<usize> {
    let text = std::fs::read_to_string(folder.join("cpu.max")).ok()?;
    let mut numbers = text.split_whitespace().map(str::parse::<usize>);
    numbers.next()?.ok()?.checked_div(numbers.next()?.ok()?)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn some_core_is_usable_and_this_thread_runs_on_one() {
        assert!(usable() >= 1);
        assert!(current() < 100_000);
    }

    #[test]
    fn affinity_counts() {
        let mut one = rustix::thread::CpuSet::new();
        one.set(current() as usize);

        let found = std::thread::spawn(move || {
            rustix::thread::sched_setaffinity(None, &one).unwrap();
            usable()
        });

        assert_eq!(found.join().unwrap(), 1);
    }

    #[test]
    fn quota_is_counted_in_whole_cores() {
        let folder = std::env::temp_dir().join(format!("elsewhere-quota-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let found = ["max 100000\n", "50000 100000\n", "250000 100000\n", "1 0\n", ""].map(|text| {
            std::fs::write(folder.join("cpu.max"), text).unwrap();
            cores_of(&folder)
        });

        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, [None, Some(0), Some(2), None, None]);
    }
}
