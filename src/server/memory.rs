//! How much memory the process may use: the machine's, or less if its control
//! group says so.

use std::path::{Path, PathBuf};

use crate::config::DataLimit;

/// A limit in bytes. `None` where a share of what nobody knows was asked for.
pub(super) fn bytes_of(limit: DataLimit) -> Option<u64> {
    match limit {
        DataLimit::Bytes(bytes) => Some(bytes),
        DataLimit::Percent(percent) => {
            let available = available(Path::new("/"))?;
            Some(available / 100 * u64::from(percent))
        }
    }
}

/// The smaller of the machine's memory and the limits of the control groups that
/// the process is in, of both versions.
fn available(root: &Path) -> Option<u64> {
    let read = |path: PathBuf| std::fs::read_to_string(root.join(path)).ok();
    let machine = read("proc/meminfo".into()).and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    });
    let groups = read("proc/self/cgroup".into()).unwrap_or_default();
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (controllers, group) = (parts.nth(1)?, parts.next()?);
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        // What holds for a group above holds for this one.
        let group = Path::new(group.trim_start_matches('/'));
        let least = group.ancestors().filter_map(|group| {
            read(Path::new(mount).join(group).join(file))?.trim().parse::<u64>().ok()
        });
        least.min()
    });
    machine.into_iter().chain(limits).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(files: &[(&str, &str)]) -> Option<u64> {
        let id = std::process::id();
        let root = std::env::temp_dir().join(format!("noexd-memory-{id}-{}", files.len()));
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("created");
            std::fs::write(path, text).expect("written");
        }
        let found = available(&root);
        std::fs::remove_dir_all(&root).expect("removed");
        found
    }

    #[test]
    fn the_smaller_of_machine_and_groups() {
        let machine = ("proc/meminfo", "MemFree: 1 kB\nMemTotal:       2048 kB\n");
        assert_eq!(at(&[machine]), Some(2048 * 1024));
        let second = ("proc/self/cgroup", "0::/a/b\n");
        let max = ("sys/fs/cgroup/a/b/memory.max", "max\n");
        assert_eq!(at(&[machine, second, max]), Some(2048 * 1024));
        let above = ("sys/fs/cgroup/a/memory.max", "1000000\n");
        assert_eq!(at(&[machine, second, max, above]), Some(1_000_000));
        let first = ("proc/self/cgroup", "5:cpu:/x\n4:memory,hugetlb:/c\n");
        let limit = ("sys/fs/cgroup/memory/c/memory.limit_in_bytes", "900000\n");
        assert_eq!(at(&[machine, first, limit]), Some(900_000));
        assert!(bytes_of(DataLimit::Percent(50)) <= bytes_of(DataLimit::Percent(90)));
        assert_eq!(bytes_of(DataLimit::Bytes(7)), Some(7));
    }
}
