//! The control groups that this process is in, of both versions.
//! Owns: where they are mounted. Must not know: which limits they have.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";

/// The least that `limit_of` tells of the groups of this process that `controller` may govern, and of those that they are
/// in. None if none has a limit.
pub(crate) fn least<T: Ord>(controller: &str, limit_of: impl Fn(&Path) -> Option<T>) -> Option<T> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    least_of(&groups, Path::new(ROOT), controller, limit_of)
}

/// `text` is `/proc/self/cgroup`, `root` where the groups are mounted.
pub(crate) fn least_of<T: Ord>(
    text: &str,
    root: &Path,
    controller: &str,
    limit_of: impl Fn(&Path) -> Option<T>,
) -> Option<T> {
    let groups = text.lines().filter_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, group) = line.split_once(":/")?;
        // Version 2 names no controllers, and has one tree for all of them. In a container the group may be named as it is
        // outside, and be the root inside: what is not there has no limit, and what is above it counts.
        let tree = match controllers {
            "" => root.to_owned(),
            names if names.split(',').any(|name| name == controller) => root.join(controller),
            _ => return None,
        };
        Some((tree.join(group), tree))
    });
    let limit_in = |(group, tree): (PathBuf, PathBuf)| {
        group.ancestors().take_while(|folder| folder.starts_with(&tree)).filter_map(&limit_of).min()
    };
    groups.filter_map(limit_in).min()
}
