//! How much memory can be had now.
//! Owns: the look at the machine's memory and the control groups'. Must not know: what it is wanted for.
//!
//! The kernel refuses hardly anybody memory: it hands out page after page, and when none is left it kills processes, not
//! necessarily the one that wanted it. So whoever needs much asks before. That is a look and no reservation: two who ask at
//! the same time may both be told yes.

use std::fs;
use std::path::Path;

use crate::error::Shortage;
use crate::groups;

/// From so many bytes on it is asked whether they are to be had: fewer are filled faster than asked for.
pub(crate) const LARGE: usize = 1 << 20;

/// What is to be left with little: the kernel's tables, and what others take at the same time without asking.
const LEFT: u64 = 4 << 20;

/// With much, an eighth of it is to be left, and no more than so many bytes.
const LEFT_MAX: u64 = 16 << 20;

/// To be asked before `wanted` bytes are filled.
///
/// # Errors
/// [`Shortage`]; never below [`LARGE`].
pub(crate) fn check(wanted: usize) -> Result<(), Shortage> {
    if wanted < LARGE {
        return Ok(());
    }
    let wanted = wanted as u64;
    let needed = wanted.saturating_add(LEFT).saturating_add((wanted / 8).min(LEFT_MAX));
    let available = available();
    if available >= needed { Ok(()) } else { Err(Shortage { available, needed }) }
}

/// Bytes that can be allocated before the kernel has to kill: those of the machine, or of a control group if that has fewer,
/// with what can be written to swap. Where `/proc` is missing, what is free now, without what could be made free.
fn available() -> u64 {
    let Ok(text) = fs::read_to_string("/proc/meminfo") else { return free() };
    let swap = field(&text, "SwapFree:").unwrap_or(0);
    let machine = field(&text, "MemAvailable:")
        .map_or_else(free, |available| available.saturating_add(swap).saturating_add(cache_of_zfs()));
    groups::least("memory", |folder| left_in(folder, swap)).map_or(machine, |group| group.min(machine))
}

fn free() -> u64 {
    let info = rustix::system::sysinfo();
    info.freeram.saturating_add(info.freeswap).saturating_mul(info.mem_unit.into())
}

/// What the cache of ZFS gives up when memory is short: the kernel counts it as in use.
fn cache_of_zfs() -> u64 {
    fs::read_to_string("/proc/spl/kstat/zfs/arcstats").map_or(0, |text| surplus(&text))
}

/// How far the `size` of `arcstats` is above the least that it keeps, in bytes.
fn surplus(text: &str) -> u64 {
    let number = |name| {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name))?;
        line.split_whitespace().nth(2)?.parse::<u64>().ok()
    };
    number("size").unwrap_or(0).saturating_sub(number("c_min").unwrap_or(u64::MAX))
}

/// A field of `/proc/meminfo`, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Bytes that the group can still have, of which `swap` may go to swap. None for a group without a limit.
fn left_in(folder: &Path, swap: u64) -> Option<u64> {
    let number = |name| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    let left = |limit, used| Some(number(limit)?.saturating_sub(number(used)?));
    if let Some(limit) = number("memory.max") {
        let used = number("memory.current")?;
        let swap = left("memory.swap.max", "memory.swap.current").map_or(swap, |group| group.min(swap));
        let cached = cached(folder, &["inactive_file", "active_file", "slab_reclaimable"]);
        return Some(limit.saturating_sub(used.saturating_sub(cached)).saturating_add(swap));
    }
    let limit = number("memory.limit_in_bytes").filter(|limit| *limit < NO_LIMIT)?;
    let used = number("memory.usage_in_bytes")?;
    let cached = cached(folder, &["total_inactive_file", "total_active_file"]);
    let alone = limit.saturating_sub(used.saturating_sub(cached)).saturating_add(swap);
    let with_swap = left("memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes");
    Some(with_swap.map_or(alone, |left| left.saturating_add(cached).min(alone)))
}

/// What version 1 says where there is no limit is somewhat less than 2⁶³.
const NO_LIMIT: u64 = 1 << 62;

/// What the group has of files and can be had again: it is given up before anybody is killed.
fn cached(folder: &Path, names: &[&str]) -> u64 {
    let Ok(text) = fs::read_to_string(folder.join("memory.stat")) else { return 0 };
    let fields = text.lines().filter_map(|line| line.split_once(' '));
    let numbers = fields.filter(|(name, _)| names.contains(name)).filter_map(|(_, number)| number.trim().parse().ok());
    numbers.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_memory_is_available() {
        assert!(available() > 1 << 20 && free() > 1 << 20);
    }

    #[test]
    fn less_than_large_is_always_there_and_more_than_all_is_not() {
        assert_eq!(check(LARGE - 1), Ok(()));
        assert_eq!(check(LARGE), Ok(()));
        assert!(matches!(check(usize::MAX), Err(Shortage { needed: u64::MAX, .. })));
    }

    #[test]
    fn field_is_counted_in_bytes() {
        let text = "MemTotal:       24684084 kB\nMemAvailable:   24296952 kB\n";

        assert_eq!(field(text, "MemAvailable:"), Some(24_296_952 * 1024));
        assert_eq!(field(text, "SwapFree:"), None);
    }

    #[test]
    fn cache_of_zfs_counts_above_its_least() {
        let text = "13 1 0x01 96 26112 1 2\nname  type data\nc_min    4    400\nc_max 4 9000\nsize    4    1000\n";

        assert_eq!((surplus(text), surplus("size 4 1000\n"), surplus("")), (600, 0, 0));
    }

    /// What is found for each of `own`, a text such as `/proc/self/cgroup`, where `files` lie under the root.
    fn found<const N: usize>(name: &str, files: &[(&str, &str)], swap: u64, own: [&str; N]) -> [Option<u64>; N] {
        let root = std::env::temp_dir().join(format!("elsewhere-groups-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = own.map(|text| groups::least_of(text, &root, "memory", |folder| left_in(folder, swap)));
        fs::remove_dir_all(&root).unwrap();
        found
    }

    #[test]
    fn tightest_group_counts() {
        let files = [
            ("outer/memory.max", "1000\n"),
            ("outer/memory.current", "700\n"),
            ("outer/memory.stat", "anon 1\ninactive_file 200\nactive_file 30\nslab_reclaimable 4\n"),
            ("outer/inner/memory.max", "max\n"),
            ("outer/inner/memory.current", "5\n"),
        ];

        let found = found("2", &files, 0, ["0::/outer/inner\n", "0::/\n", "1:cpu:/outer\n", "", "0\n:\n"]);

        assert_eq!(found, [Some(534), None, None, None, None]);
    }

    #[test]
    fn groups_of_version_1_count_where_they_govern_memory() {
        let files = [
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/memory.usage_in_bytes", "900\n"),
            ("memory/outer/memory.limit_in_bytes", "1000\n"),
            ("memory/outer/memory.usage_in_bytes", "700\n"),
            ("memory/outer/memory.stat", "cache 1\ninactive_file 9\ntotal_inactive_file 200\ntotal_active_file 34\n"),
        ];
        let own = ["4:memory:/outer/inner\n0::/\n", "4:cpu,memory:/outer\n", "4:memory:/\n", "4:hugememory:/outer\n"];

        let found = found("1", &files, 0, own);

        assert_eq!(found, [Some(534), Some(534), None, None]);
    }

    #[test]
    fn group_that_is_the_root_of_a_container_counts_under_any_name() {
        let files = [("memory/memory.limit_in_bytes", "1000\n"), ("memory/memory.usage_in_bytes", "700\n")];

        assert_eq!(found("root", &files, 0, ["4:memory:/docker/1a2b\n"]), [Some(300)]);
    }

    #[test]
    fn swap_counts_as_far_as_the_group_may_use_it() {
        let group = [("memory.max", "1000\n"), ("memory.current", "700\n")];
        let limited = [group[0], group[1], ("memory.swap.max", "50\n"), ("memory.swap.current", "10\n")];
        let before = [
            ("memory/memory.limit_in_bytes", "1000\n"),
            ("memory/memory.usage_in_bytes", "700\n"),
            ("memory/memory.memsw.limit_in_bytes", "1020\n"),
            ("memory/memory.memsw.usage_in_bytes", "710\n"),
        ];

        assert_eq!(found("swap", &group, 100, ["0::/\n"]), [Some(400)]);
        assert_eq!(found("swap", &limited, 100, ["0::/\n"]), [Some(340)]);
        assert_eq!(found("swap", &before, 100, ["4:memory:/\n"]), [Some(310)]);
    }
}
