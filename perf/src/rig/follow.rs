//! Children that do not outlive this process.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Has the kernel kill what the command starts when the thread that starts it ends, however it ends. A contestant
/// that is stopped would not heed anything else.
pub fn follow(command: &mut Command) -> &mut Command {
    let parent = std::process::id();
    let bind = move || {
        // SAFETY: sets a property of the calling process, no memory is touched.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // It may have ended before that.
        if std::os::unix::process::parent_id() != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    };
    // SAFETY: between fork and exec only two system calls are made, and nothing is allocated.
    unsafe { command.pre_exec(bind) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Stdio;
    use std::thread;

    use super::*;

    #[test]
    fn a_child_ends_with_who_started_it() {
        let start = || {
            let mut command = Command::new("sleep");
            follow(command.arg("600").stdin(Stdio::null())).spawn()
        };
        let mut child = thread::spawn(start).join().unwrap().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }
}
