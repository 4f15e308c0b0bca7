//! The start of DPDK's environment (EAL), once per process.

use std::ffi::{CString, c_char, c_int};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::{DpdkError, Errno};

/// Whether packet buffers live in hugepages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hugepages {
    /// In hugepages when enough of them are free, else without.
    #[default]
    Auto,
    /// In hugepages; an error when too few are free.
    On,
    /// In ordinary memory: slower, and of no use to a NIC without an IOMMU, but needs no preparation.
    Off,
}

/// How DPDK starts.
#[derive(Clone, Debug, Default)]
pub struct EalOptions {
    /// Where packet buffers live.
    pub hugepages: Hugepages,
    /// Memory taken at start, in MB; [`super::Devices::memory_mb`] computes what a set of devices needs.
    pub memory_mb: u32,
    /// Lets DPDK and its drivers tell what they do, instead of only what goes wrong.
    pub verbose: bool,
    /// Further EAL arguments, as DPDK documents them, for needs not foreseen here.
    pub extra: Vec<String>,
}

/// Proof that DPDK runs in this process. It runs until the process ends: packet buffers may outlive whoever opened
/// the devices, so its memory is never unmapped.
#[derive(Clone, Copy, Debug)]
pub struct Eal {
    hugepages: bool,
}

static STARTED: AtomicBool = AtomicBool::new(false);

impl Eal {
    /// Starts DPDK: memory private to this process (several daemons on one machine do not meet), no device touched, no
    /// telemetry socket, messages on standard error. The caller's CPU affinity is as before afterwards, and no
    /// thread of DPDK's own does packet work.
    ///
    /// # Errors
    /// [`DpdkError::AlreadyStarted`], [`DpdkError::Hugepages`], [`DpdkError::Argument`], [`DpdkError::Start`].
    pub fn init(options: &EalOptions) -> Result<Self, DpdkError> {
        let free_mb = free_hugepages_mb(Path::new("/sys/kernel/mm/hugepages"));
        let hugepages = choose_hugepages(options.hugepages, options.memory_mb, free_mb)?;
        let affinity = Affinity::of_this_thread();
        let arguments = arguments(options, hugepages, &affinity.cpus());
        let arguments: Result<Vec<CString>, _> = arguments.into_iter().map(CString::new).collect();
        let arguments = arguments.map_err(|_| DpdkError::Argument)?;
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(DpdkError::AlreadyStarted);
        }
        let started = start(arguments);
        affinity.restore();
        started.map(|()| Self { hugepages })
    }

    /// Do the packet buffers live in hugepages?
    #[must_use]
    pub fn hugepages(&self) -> bool {
        self.hugepages
    }

    /// DPDK's version, as in `DPDK 22.11.11`.
    #[must_use]
    pub fn version() -> String {
        // SAFETY: returns a terminated string in static storage.
        let text = unsafe { std::ffi::CStr::from_ptr(dpdk_sys::rte_version()) };
        text.to_string_lossy().into_owned()
    }
}

fn start(arguments: Vec<CString>) -> Result<(), DpdkError> {
    // EAL keeps pointers to its arguments for as long as it runs.
    let mut pointers: Vec<*mut c_char> = arguments.into_iter().map(CString::into_raw).collect();
    let count = pointers.len() as c_int;
    // SAFETY: `stderr` is the C library's own stream and stays open; EAL gets `count` terminated strings which are never
    // freed; STARTED makes this the only call in the process.
    let code = unsafe {
        dpdk_sys::rte_openlog_stream(stderr.cast());
        dpdk_sys::rte_eal_init(count, pointers.as_mut_ptr())
    };
    if code < 0 {
        return Err(DpdkError::Start {
            reason: Errno::current(),
        });
    }
    Ok(())
}

unsafe extern "C" {
    static stderr: *mut libc::FILE;
}

fn choose_hugepages(wish: Hugepages, wanted_mb: u32, free_mb: u64) -> Result<bool, DpdkError> {
    let enough = free_mb > 0 && free_mb >= u64::from(wanted_mb);
    match wish {
        Hugepages::Off => Ok(false),
        Hugepages::Auto => Ok(enough),
        Hugepages::On if enough => Ok(true),
        Hugepages::On => Err(DpdkError::Hugepages { wanted_mb, free_mb }),
    }
}

/// Memory in free hugepages of all sizes, in MB. `root` holds a directory `hugepages-<size>kB` for each size.
fn free_hugepages_mb(root: &Path) -> u64 {
    let Ok(sizes) = fs::read_dir(root) else {
        return 0;
    };
    let of_size = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let kilobytes = name
            .to_str()?
            .strip_prefix("hugepages-")?
            .strip_suffix("kB")?;
        let kilobytes: u64 = kilobytes.parse().ok()?;
        let pages = fs::read_to_string(entry.path().join("free_hugepages")).ok()?;
        let pages: u64 = pages.trim().parse().ok()?;
        Some(kilobytes * pages / 1024)
    };
    sizes.flatten().filter_map(of_size).sum()
}

/// What is heard unless verbose. EAL warns about page sizes that nobody asked for, and the tap driver calls it an error that
/// the kernel lacks flow rules which nobody uses.
const QUIET: &[&str] = &["warning", "lib.eal:error", "pmd.net.tap:critical"];

fn arguments(options: &EalOptions, hugepages: bool, cpus: &[usize]) -> Vec<String> {
    let mut arguments: Vec<String> = vec!["sluice".into()];
    if hugepages {
        // vhost and virtio-user hand their memory to another process by file descriptor, a few of which must cover it.
        arguments.extend(["--in-memory", "--single-file-segments"].map(String::from));
    } else {
        arguments.extend(["--no-huge", "--no-shconf"].map(String::from));
    }
    if options.memory_mb > 0 {
        arguments.extend(["-m".into(), options.memory_mb.to_string()]);
    }
    // One lcore, floating over all CPUs: the workers are threads of ours that register themselves.
    arguments.extend(["--lcores".into(), format!("0@({})", cpu_list(cpus))]);
    // An allow list with nothing real on it: EAL would take every PCI device it can drive, other daemons' among them.
    // Devices are added one by one later.
    arguments.extend(["-a", "ffff:ff:1f.7", "--no-telemetry"].map(String::from));
    let levels: &[&str] = if options.verbose { &["info"] } else { QUIET };
    arguments.extend(levels.iter().map(|level| format!("--log-level={level}")));
    arguments.extend(options.extra.iter().cloned());
    arguments
}

/// `0-2,5` for CPUs 0, 1, 2 and 5 (ascending).
fn cpu_list(cpus: &[usize]) -> String {
    let runs = cpus.chunk_by(|a, b| a + 1 == *b);
    let text = |run: &[usize]| match run {
        [first, .., last] => format!("{first}-{last}"),
        [only] => only.to_string(),
        [] => String::new(),
    };
    runs.map(text).collect::<Vec<_>>().join(",")
}

/// The CPUs a thread may run on.
struct Affinity(libc::cpu_set_t);

impl Affinity {
    fn of_this_thread() -> Self {
        // SAFETY: the all-zero set is a valid empty set; the kernel fills at most the size given. When it fails the set
        // stays empty and is never restored.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set);
            Self(set)
        }
    }

    fn cpus(&self) -> Vec<usize> {
        let limit = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
        // SAFETY: `cpu` is below the size of the set.
        let found: Vec<_> = (0..limit)
            .filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &self.0) })
            .collect();
        if found.is_empty() { vec![0] } else { found }
    }

    fn restore(&self) {
        // SAFETY: a set that came from the kernel. An empty one is refused by it, without effect.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const self.0) };
    }
}

/// This thread's registration with EAL, which gives it a buffer cache of its own. Ends with the thread.
struct Registration;

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: runs at the end of the thread that registered; allowed for any thread.
        unsafe { dpdk_sys::rte_thread_unregister() };
    }
}

thread_local! {
    static REGISTERED: Option<Registration> = {
        // SAFETY: EAL runs, since only the queues of opened devices come here. May fail (too many threads): then this
        // thread shares the pool without a cache, which is slower and nothing else.
        let code = unsafe { dpdk_sys::rte_thread_register() };
        (code == 0).then_some(Registration)
    };
}

/// Registers the calling thread with EAL unless it already is. `false` when that failed.
pub(super) fn register_thread() -> bool {
    REGISTERED.with(Option::is_some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_are_runs() {
        let cases: &[(&[usize], &str)] = &[
            (&[0], "0"),
            (&[0, 1], "0-1"),
            (&[0, 1, 2, 5, 7, 8], "0-2,5,7-8"),
        ];
        for (cpus, text) in cases {
            assert_eq!(cpu_list(cpus), *text);
        }
    }

    #[test]
    fn hugepages_are_taken_when_there_are_enough() {
        assert!(matches!(
            choose_hugepages(Hugepages::Auto, 100, 99),
            Ok(false)
        ));
        assert!(matches!(
            choose_hugepages(Hugepages::Auto, 100, 100),
            Ok(true)
        ));
        assert!(matches!(choose_hugepages(Hugepages::Auto, 0, 0), Ok(false)));
        assert!(matches!(
            choose_hugepages(Hugepages::Off, 100, 1000),
            Ok(false)
        ));
        let refused = choose_hugepages(Hugepages::On, 100, 99);
        assert!(matches!(
            refused,
            Err(DpdkError::Hugepages {
                wanted_mb: 100,
                free_mb: 99
            })
        ));
    }

    #[test]
    fn without_hugepages_nothing_is_shared_either() {
        let options = EalOptions {
            memory_mb: 256,
            ..EalOptions::default()
        };
        let line = arguments(&options, false, &[0, 1]).join(" ");
        assert!(
            line.starts_with("sluice --no-huge --no-shconf -m 256 --lcores 0@(0-1) "),
            "{line}"
        );
        let line = arguments(&options, true, &[3]).join(" ");
        assert!(
            line.contains("--in-memory") && !line.contains("--no-huge"),
            "{line}"
        );
        assert!(line.contains("--lcores 0@(3)"), "{line}");
    }
}
