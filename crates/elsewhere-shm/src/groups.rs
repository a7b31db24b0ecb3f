//! The control groups (version 2) that this process is in.
//! Owns: where they are mounted. Must not know: which limits they have.

use std::fs;
use std::path::Path;

const ROOT: &str = "/sys/fs/cgroup";

/// The least that `limit_of` tells of the group of this process and of those that it is in. None if none has a limit.
pub(crate) fn least<T: Ord>(limit_of: impl Fn(&Path) -> Option<T>) -> Option<T> {
    let group = fs::read_to_string("/proc/self/cgroup").ok()?;
    least_of(&group, Path::new(ROOT), limit_of)
}

/// `text` is `/proc/self/cgroup`, `root` where the groups are mounted.
pub(crate) fn least_of<T: Ord>(text: &str, root: &Path, limit_of: impl Fn(&Path) -> Option<T>) -> Option<T> {
    let group = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let folder = root.join(group);
    folder.ancestors().take_while(|folder| folder.starts_with(root)).filter_map(limit_of).min()
}
