//! What the machine has, as far as a node file refers to it.

/// The machine a configuration is for. A test makes its own; the daemon asks the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// CPUs that this process may run on, ascending; never empty.
    pub cpus: Vec<usize>,
}

impl Host {
    /// The machine we are on, within the CPU set that we were given.
    pub fn detect() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let cpus = list.and_then(cpu_list).unwrap_or_else(|| {
            let count = std::thread::available_parallelism().map_or(1, usize::from);
            (0..count).collect()
        });
        Self { cpus }
    }

    /// Is there a Linux interface of this name in our network namespace now?
    #[must_use]
    pub fn has_interface(name: &str) -> bool {
        // Unlike /sys/class/net, this is always of the namespace that we are in.
        let table = std::fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
        interfaces(&table).any(|listed| listed == name)
    }
}

/// Names in the kernel's table of interfaces.
fn interfaces(table: &str) -> impl Iterator<Item = &str> {
    let rows = table.lines().skip(2);
    rows.filter_map(|row| Some(row.rsplit_once(':')?.0.trim()))
}

/// Reads the kernel's form of a CPU set: `0-3,8`.
fn cpu_list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    (!cpus.is_empty()).then_some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists() {
        assert_eq!(cpu_list("\t0-3,8\n"), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(cpu_list("5"), Some(vec![5]));
        assert_eq!(cpu_list(""), None);
        assert_eq!(cpu_list("a-b"), None);
        assert_eq!(cpu_list("3-1"), None);
    }

    #[test]
    fn interface_tables() {
        let table = "Inter-|   Receive\n face |bytes packets|bytes\n    lo: 1 2 3\neth0.5: 4 5\n";
        assert_eq!(interfaces(table).collect::<Vec<_>>(), ["lo", "eth0.5"]);
        assert_eq!(interfaces("").count(), 0);
        assert!(Host::has_interface("lo"));
        assert!(!Host::has_interface("no-such-if") && !Host::has_interface(""));
    }

    #[test]
    fn this_machine_has_a_cpu() {
        assert!(!Host::detect().cpus.is_empty());
    }
}
