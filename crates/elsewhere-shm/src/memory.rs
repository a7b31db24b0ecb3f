//! How much memory can be had now.
//! Owns: the look at the machine's memory and the control group's. Must not know: what it is wanted for.
//!
//! The kernel refuses nobody memory for memfds: it allocates page after page, and when none is left it kills processes,
//! not necessarily this one. So whoever makes a large segment asks before. That is a look and no reservation: two who ask
//! at the same time may both be told yes.

use std::fs;
use std::path::Path;

use crate::groups;

/// Bytes that can be allocated before the kernel has to kill: those of the machine, or of the control group if it has
/// fewer. Where `/proc` is missing, what is free now, without what could be made free.
pub(crate) fn available() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| field(&text, "MemAvailable:"));
    let group = groups::least(left_in);
    let machine = machine.unwrap_or_else(free);
    group.map_or(machine, |group| group.min(machine))
}

fn free() -> u64 {
    let info = rustix::system::sysinfo();
    info.freeram.saturating_mul(info.mem_unit.into())
}

/// A field of `/proc/meminfo`, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(1024)
}

/// None for a group without a limit.
fn left_in(folder: &Path) -> Option<u64> {
    let number = |name| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    let limit = number("memory.max")?;
    let used = number("memory.current")?;
    // What the group has cached of files is given up before anybody is killed.
    let cached = fs::read_to_string(folder.join("memory.stat"))
        .ok()
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("inactive_file "))?.trim().parse::<u64>().ok());
    Some(limit.saturating_sub(used.saturating_sub(cached.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_memory_is_available() {
        assert!(available() > 1 << 20 && free() > 1 << 20);
    }

    #[test]
    fn field_is_counted_in_bytes() {
        let text = "MemTotal:       24684084 kB\nMemAvailable:   24296952 kB\n";

        assert_eq!(field(text, "MemAvailable:"), Some(24_296_952 * 1024));
        assert_eq!(field(text, "SwapFree:"), None);
    }

    #[test]
    fn tightest_group_counts() {
        let root = std::env::temp_dir().join(format!("elsewhere-groups-{}", std::process::id()));
        let inner = root.join("outer/inner");
        fs::create_dir_all(&inner).unwrap();
        for (folder, name, text) in [
            (root.join("outer"), "memory.max", "1000\n"),
            (root.join("outer"), "memory.current", "700\n"),
            (root.join("outer"), "memory.stat", "anon 1\ninactive_file 200\n"),
            (inner.clone(), "memory.max", "max\n"),
            (inner, "memory.current", "5\n"),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }

        let found = ["0::/outer/inner\n", "0::/\n", "1:cpu:/\n"].map(|text| groups::least_of(text, &root, left_in));

        fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, [Some(500), None, None]);
    }
}
