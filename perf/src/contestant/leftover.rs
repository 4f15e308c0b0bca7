//! What a run would leave behind when it is interrupted.

use std::path::{Path, PathBuf};
use std::{fs, io, process, thread};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Where every run has its directory.
const MEMORY: &str = "/dev/shm";
/// Its name, before the process id.
const NAME: &str = "sluice-perf-";

/// Removes what runs left that have ended, and has this process end tidily when it is interrupted, terminated or
/// hung up on: its directory is removed, and the kernel kills the contestants with it.
///
/// # Errors
/// When signals cannot be received.
pub fn clear_when_interrupted() -> io::Result<()> {
    sweep(Path::new(MEMORY), |id| {
        id != process::id() && Path::new("/proc").join(id.to_string()).exists()
    });
    let status = fs::read_to_string("/proc/self/status")?;
    let heeded =
        [SIGINT, SIGTERM, SIGHUP].map(|signal| (!ignored(&status, signal)).then_some(signal));
    let mut signals = Signals::new(heeded.into_iter().flatten())?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // What cannot be removed is swept by the next run.
            let _ = fs::remove_dir_all(directory(process::id()));
            process::exit(128 + signal);
        }
    });
    Ok(())
}

/// The directory of a run, by its process.
fn directory(id: u32) -> PathBuf {
    Path::new(MEMORY).join(format!("{NAME}{id}"))
}

/// Removes the directories of processes that do not live.
fn sweep(root: &Path, lives: impl Fn(u32) -> bool) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix(NAME));
        if let Some(id) = id.and_then(|id| id.parse().ok())
            && !lives(id)
        {
            // Another's may not be ours to remove.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether whoever started this process wants a signal ignored, as `nohup` does: `status` is its file of that name.
fn ignored(status: &str, signal: i32) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_where_it_is_looked_for() {
        let site = crate::bench::site(None).unwrap();
        fs::remove_dir_all(&site.directory).unwrap();
        assert_eq!(site.directory, directory(process::id()));
    }

    #[test]
    fn only_directories_of_dead_processes_are_swept() {
        let root = std::env::temp_dir().join(format!("sluice-sweep-{}", process::id()));
        for name in ["sluice-perf-7", "sluice-perf-8", "sluice-perf-x", "other-7"] {
            fs::create_dir_all(root.join(name).join("ovs")).unwrap();
        }
        sweep(&root, |id| id == 8);
        let mut left: Vec<_> = fs::read_dir(&root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(left, ["other-7", "sluice-perf-8", "sluice-perf-x"]);
    }

    #[test]
    fn ignored_signals_are_known() {
        // Signal 1 is the lowest bit.
        let status = "Name:\tx\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000000003\n";
        assert!(ignored(status, SIGHUP) && ignored(status, SIGINT));
        assert!(!ignored(status, SIGTERM));
        assert!(!ignored("", SIGHUP));
    }
}
