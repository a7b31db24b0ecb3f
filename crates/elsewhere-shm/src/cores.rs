//! Which core a thread runs on, and how many at a time this process is allowed.
//! Owns: the questions to the system. Must not know: what follows from the answers.

#[cfg(not(all(test, loom)))]
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

#[cfg(not(all(test, loom)))]
use rustix::time::{ClockId, clock_gettime};

#[cfg(not(all(test, loom)))]
use crate::groups;

/// For how many seconds an answer about the quota holds: each takes some 50 µs of reading files, and few quotas change.
#[cfg(not(all(test, loom)))]
const HOLDS: u64 = 10;

/// The last answer, and the second of the monotonic clock at which it ends. A fork goes on with its parent's.
#[cfg(not(all(test, loom)))]
static ALLOWED: (AtomicUsize, AtomicU64) = (AtomicUsize::new(1), AtomicU64::new(0));

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

/// How many cores this process may use at a time by the quota of its control group: at least one, and the largest number
/// there is without a quota. What it is pinned to does not count: that changes, and its peer may be pinned elsewhere.
/// A quota that was set within the last seconds may not be seen yet.
#[cfg(not(all(test, loom)))]
#[must_use]
pub fn allowed() -> usize {
    let (answer, end) = &ALLOWED;
    let now = u64::try_from(clock_gettime(ClockId::MonotonicCoarse).tv_sec).unwrap_or(0);
    if now < end.load(Ordering::Acquire) {
        return answer.load(Ordering::Relaxed);
    }
    let cores = groups::least("cpu", cores_of).unwrap_or(usize::MAX).max(1);
    answer.store(cores, Ordering::Relaxed);
    end.store(now + HOLDS, Ordering::Release);
    cores
}

/// The whole cores in the quota of a group, such as `150000 100000` µs. None without a limit.
#[cfg(not(all(test, loom)))]
fn cores_of(folder: &std::path::Path) -> Option<usize> {
    let read = |name| std::fs::read_to_string(folder.join(name)).ok();
    let text = read("cpu.max").or_else(|| Some(read("cpu.cfs_quota_us")? + &read("cpu.cfs_period_us")?))?;
    let mut numbers = text.split_whitespace().map(str::parse::<usize>);
    numbers.next()?.ok()?.checked_div(numbers.next()?.ok()?)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn some_core_is_allowed_and_this_thread_runs_on_one() {
        assert!(allowed() >= 1);
        assert!(current() < 100_000);
    }

    #[test]
    fn quota_is_counted_in_whole_cores() {
        let folder = std::env::temp_dir().join(format!("elsewhere-quota-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let found = ["max 100000\n", "50000 100000\n", "250000 100000\n", "1 0\n", ""].map(|text| {
            std::fs::write(folder.join("cpu.max"), text).unwrap();
            cores_of(&folder)
        });

        std::fs::remove_file(folder.join("cpu.max")).unwrap();
        std::fs::write(folder.join("cpu.cfs_period_us"), "100000\n").unwrap();
        let of_version_1 = ["-1\n", "250000\n"].map(|text| {
            std::fs::write(folder.join("cpu.cfs_quota_us"), text).unwrap();
            cores_of(&folder)
        });

        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, [None, Some(0), Some(2), None, None]);
        assert_eq!(of_version_1, [None, Some(2)]);
    }
}
