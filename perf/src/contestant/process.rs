//! A contestant's process: started, stopped and let go by signals, ended with its value.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::rig::{Control, Reading, follow};

/// How long a contestant may take to poll its ports.
const START: Duration = Duration::from_secs(60);
/// How long it may take to end by itself.
const END: Duration = Duration::from_secs(5);
/// Priority of a polling thread while it is measured: others wait, it does not.
const PRIORITY: &str = "20";

/// Where contestants run.
#[derive(Clone, Debug)]
pub struct Site {
    /// A directory of this run, in memory.
    pub directory: PathBuf,
    /// CPU of the polling thread.
    pub cpu: usize,
    /// CPU of everything else.
    pub other_cpu: usize,
    /// This program, linked with DPDK's shared libraries.
    pub shared: Option<PathBuf>,
    /// Two network cards of this machine, as DPDK names them, with what is measured behind them.
    pub devices: Vec<String>,
}

impl Site {
    /// A file of this run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// A running contestant.
#[derive(Debug)]
pub struct Process {
    /// Its control file.
    pub control: Control,
    /// Threads that poll, each a queue of its own.
    pub queues: u32,
    /// Its polling threads go before all others on their CPUs.
    pub urgent: bool,
    child: Child,
    log: PathBuf,
    /// The signal by which it ends properly.
    end: &'static str,
    stopped: bool,
    /// Further programs that it needs, ended with it.
    companions: Vec<Child>,
}

impl Process {
    /// Starts it and waits until it polls; then it is stopped.
    ///
    /// # Errors
    /// When it does not start, with what it said.
    pub fn start(
        site: &Site,
        name: &str,
        end: &'static str,
        mut command: Command,
    ) -> anyhow::Result<Self> {
        let control = Control::create(&site.file(&format!("{name}.control")))?;
        let log = site.file(&format!("{name}.log"));
        let output = File::create(&log)?;
        command
            .env("SLUICE_RIG", control.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = follow(&mut command)
            .spawn()
            .with_context(|| format!("{program} does not start"))?;
        Ok(Self {
            control,
            queues: 1,
            urgent: true,
            child,
            log,
            end,
            stopped: false,
            companions: Vec::new(),
        })
    }

    /// A program that ends together with this one.
    pub fn accompany(&mut self, companion: Child) {
        self.companions.push(companion);
    }

    /// Waits until it polls its ports, then stops it.
    ///
    /// # Errors
    /// When it ended, or took too long; with what it said.
    pub fn wait_until_polling(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        while self.threads()?.len() < self.queues as usize {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}: {}", self.last_words());
            }
            if begin.elapsed() > START {
                bail!("it does not poll its ports: {}", self.last_words());
            }
            sleep(Duration::from_millis(20));
        }
        self.stop()
    }

    /// The last lines of what it said.
    pub fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        lines[lines.len().saturating_sub(4)..].join(" | ")
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// It has not ended.
    pub fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its polling threads that have begun.
    fn threads(&self) -> anyhow::Result<Vec<u32>> {
        let threads = (0..self.queues).map(|queue| self.control.thread(queue));
        Ok(threads
            .collect::<anyhow::Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    /// Its counts now, of the first queue.
    ///
    /// # Errors
    /// When it has ended.
    pub fn reading(&mut self) -> anyhow::Result<Reading> {
        let first = self.readings()?.first().copied();
        first.context("it does not poll its ports")
    }

    /// Its counts now, by queue.
    ///
    /// # Errors
    /// When it has ended.
    pub fn readings(&mut self) -> anyhow::Result<Vec<Reading>> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it ended with {status}: {}", self.last_words());
        }
        (0..self.queues)
            .map(|queue| {
                let reading = self.control.reading(queue)?;
                reading.context("it does not poll its ports")
            })
            .collect()
    }

    /// Takes the CPU from it.
    ///
    /// # Errors
    /// When it has ended.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.stopped = true;
        signal("STOP", self.child.id())
    }

    /// Lets it run, if urgent its polling threads before all others on their CPUs.
    ///
    /// # Errors
    /// When it has ended.
    pub fn go(&mut self) -> anyhow::Result<()> {
        for thread in self.threads()? {
            let policy: &[&str] = if self.urgent {
                &["-f", "-p", PRIORITY]
            } else {
                &["-o", "-p", "0"]
            };
            // Without the privilege windows in which it had to wait are thrown away.
            let _ = run(Command::new("chrt").args(policy).arg(thread.to_string()));
        }
        self.stopped = false;
        signal("CONT", self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.stopped {
            let _ = signal("CONT", self.child.id());
        }
        let _ = signal(self.end, self.child.id());
        let begin = Instant::now();
        while begin.elapsed() < END {
            if let Ok(Some(_)) = self.child.try_wait() {
                break;
            }
            sleep(Duration::from_millis(10));
        }
        for child in std::iter::once(&mut self.child).chain(&mut self.companions) {
            // Either fails only when it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn signal(name: &str, process: u32) -> anyhow::Result<()> {
    run(Command::new("kill")
        .arg(format!("-{name}"))
        .arg(process.to_string()))
    .map(drop)
}

/// Runs a program to its end; its output, or an error with what it said.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| name_of(command))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!(
            "{}: {}",
            name_of(command),
            String::from_utf8_lossy(&said).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn name_of(command: &Command) -> String {
    Path::new(command.get_program()).display().to_string()
}

/// Writes the object that other programs preload.
#[cfg(feature = "dpdk")]
pub(super) fn preload(site: &Site) -> anyhow::Result<PathBuf> {
    let path = site.file("rig.so");
    if !path.exists() {
        std::fs::write(&path, crate::rig::OBJECT)?;
    }
    Ok(path)
}

/// Without DPDK there is no rig.
#[cfg(not(feature = "dpdk"))]
pub(super) fn preload(_: &Site) -> anyhow::Result<PathBuf> {
    bail!("sluice-perf was built without DPDK")
}
