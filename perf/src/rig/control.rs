//! The control file: the layout of `rig/rig.h`, written and read as a file that the contestant has mapped.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

const MAGIC: u32 = 0x5257;
const READINGS_AT: u64 = 4096;
const SAMPLES_AT: u64 = 65536;
const SAMPLES: u64 = 256;
const SLOT: usize = 2048;
const READING: usize = 112;
/// Offset of the thread in a reading.
const THREAD_AT: u64 = 108;
const FEED: usize = 32;
const PATH: usize = 256;
/// A reading is written in far less time than it takes to look so many times.
const TRIES: u32 = 1 << 16;
/// Offset of the epoch, and of what follows it.
const EPOCH_AT: u64 = 4;
const ANSWER_AT: u64 = 12;
const TIMED_AT: u64 = 20;
const FEEDS_AT: usize = 24;

/// What one side receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feed {
    /// Where its records begin in the records file.
    pub offset: u64,
    /// How many there are.
    pub count: u32,
    /// Bytes of a record.
    pub stride: u32,
    /// What this side sends comes back to it, source and destination swapped.
    pub turned: bool,
    /// Offset of a 16-bit field that grows each time the records start over.
    pub lap_at: Option<u32>,
    /// Queues that share the records, each playing its part; 0 when each plays all of them.
    pub parts: u32,
    /// Slots of the wire's rings; 0 when there is no wire.
    pub wire: u32,
}

/// What a contestant plays.
#[derive(Clone, Debug)]
pub struct Playing {
    /// The records file.
    pub records: PathBuf,
    /// Each side's part.
    pub feeds: [Feed; 2],
    /// Frames held on every line.
    pub delay: u32,
    /// The wire file, where a side has one.
    pub wire: PathBuf,
}

/// Counts at one moment, consistent among themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Time stamp counter.
    pub tsc: u64,
    /// CPU time of the polling thread, in nanoseconds.
    pub cpu_ns: u64,
    /// Time, in nanoseconds.
    pub wall_ns: u64,
    /// Frames that the contestant received, by side.
    pub rx: [u64; 2],
    /// Frames that it sent, by side.
    pub tx: [u64; 2],
    /// Times that records started over.
    pub laps: u64,
    /// Bursts not delivered for want of a buffer.
    pub no_buffer: u64,
    /// Frames lost because a line was full.
    pub overflow: u64,
    /// Cycles spent on the packets of each side, as far as they were [timed](Control::time).
    pub spent: [u64; 2],
    /// Which [`Control::play`] is in force.
    pub epoch: u32,
    /// The polling thread; 0 before it polls.
    pub tid: u32,
}

/// A frame that the contestant sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Number of the sample since the contestant started.
    pub number: u64,
    /// The side it left by.
    pub side: usize,
    /// Which [`Control::play`] was in force.
    pub epoch: u32,
    /// The frame.
    pub frame: Vec<u8>,
}

/// The measuring end of a control file, which is removed when this is dropped.
#[derive(Debug)]
pub struct Control {
    file: File,
    path: PathBuf,
    epoch: u32,
}

impl Control {
    /// Makes the file, with nothing to play; a frame of one in 512 bursts is sampled.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path);
        let file = file.with_context(|| path.display().to_string())?;
        file.set_len(SAMPLES_AT + SAMPLES * SLOT as u64)?;
        let mut head = [0; FEEDS_AT];
        put(&mut head, 0, &MAGIC.to_ne_bytes());
        put(&mut head, 16, &511_u32.to_ne_bytes());
        file.write_all_at(&head, 0)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            epoch: 0,
        })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has the contestant play something else. Returns the epoch by which readings and samples tell it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn play(&mut self, playing: &Playing) -> anyhow::Result<u32> {
        let mut body = vec![0; 2 * FEED + 2 * PATH];
        for (feed, at) in playing.feeds.iter().zip([0, FEED]) {
            put(&mut body, at, &feed.offset.to_ne_bytes());
            put(&mut body, at + 8, &feed.count.to_ne_bytes());
            put(&mut body, at + 12, &feed.stride.to_ne_bytes());
            put(&mut body, at + 16, &u32::from(feed.turned).to_ne_bytes());
            put(&mut body, at + 20, &feed.lap_at.unwrap_or(0).to_ne_bytes());
            put(&mut body, at + 24, &feed.parts.to_ne_bytes());
            put(&mut body, at + 28, &feed.wire.to_ne_bytes());
        }
        for (path, at) in [
            (&playing.records, 2 * FEED),
            (&playing.wire, 2 * FEED + PATH),
        ] {
            let path = path.to_string_lossy();
            ensure!(path.len() < PATH, "{path}: the name is too long");
            put(&mut body, at, path.as_bytes());
        }
        self.file.write_all_at(&playing.delay.to_ne_bytes(), 8)?;
        self.file.write_all_at(&body, FEEDS_AT as u64)?;
        self.epoch += 1;
        self.file
            .write_all_at(&self.epoch.to_ne_bytes(), EPOCH_AT)?;
        Ok(self.epoch)
    }

    /// Whether ARP requests are answered; off while measuring, because it looks into every frame.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn answer(&self, yes: bool) -> anyhow::Result<()> {
        Ok(self
            .file
            .write_all_at(&u32::from(yes).to_ne_bytes(), ANSWER_AT)?)
    }

    /// Whether the time that each side's packets take is told apart: from when they were handed out to when the next ones are
    /// asked for. What a worker does after the packets of side B is in that side's.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn time(&self, yes: bool) -> anyhow::Result<()> {
        Ok(self
            .file
            .write_all_at(&u32::from(yes).to_ne_bytes(), TIMED_AT)?)
    }

    /// The thread that polls a queue; `None` before it does. Also of a contestant that is stopped.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn thread(&self, queue: u32) -> anyhow::Result<Option<u32>> {
        let mut tid = [0; 4];
        let at = READINGS_AT + u64::from(queue) * READING as u64 + THREAD_AT;
        self.file.read_exact_at(&mut tid, at)?;
        Ok(Some(u32::from_ne_bytes(tid)).filter(|&tid| tid != 0))
    }

    /// The latest counts of a queue; `None` before the contestant polls it.
    ///
    /// # Errors
    /// When the file cannot be read, or the contestant was stopped while it wrote.
    pub fn reading(&self, queue: u32) -> anyhow::Result<Option<Reading>> {
        let at = READINGS_AT + u64::from(queue) * READING as u64;
        let mut bytes = [0; READING];
        for tried in 0.. {
            ensure!(tried < TRIES, "the contestant does not run");
            self.file.read_exact_at(&mut bytes, at)?;
            let before = u64_at(&bytes, 0);
            let mut seq = [0; 8];
            self.file.read_exact_at(&mut seq, at)?;
            if before.is_multiple_of(2) && before == u64::from_ne_bytes(seq) {
                break;
            }
            std::thread::yield_now();
        }
        let word = |n: usize| u64_at(&bytes, n * 8);
        let reading = Reading {
            tsc: word(1),
            cpu_ns: word(2),
            wall_ns: word(3),
            rx: [word(4), word(5)],
            tx: [word(6), word(7)],
            laps: word(8),
            no_buffer: word(9),
            overflow: word(10),
            spent: [word(11), word(12)],
            epoch: word(13) as u32,
            tid: (word(13) >> 32) as u32,
        };
        Ok((reading.tid != 0).then_some(reading))
    }

    /// The samples kept now, oldest first; one that is being written is left out.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn samples(&self) -> anyhow::Result<Vec<Sample>> {
        let mut samples = Vec::new();
        let mut slot = vec![0; SLOT];
        for index in 0..SAMPLES {
            let at = SAMPLES_AT + index * SLOT as u64;
            self.file.read_exact_at(&mut slot, at)?;
            let mut seq = [0; 8];
            self.file.read_exact_at(&mut seq, at)?;
            let seq = u64::from_ne_bytes(seq);
            if seq == 0 || seq % 2 == 1 || seq != u64_at(&slot, 0) {
                continue;
            }
            let facts = u64_at(&slot, 8);
            let length = facts as u32 as usize;
            let Some(frame) = slot.get(24..24 + length) else {
                continue;
            };
            samples.push(Sample {
                number: seq / 2 - 1,
                side: usize::from((facts >> 32) as u16),
                epoch: u64_at(&slot, 16) as u32,
                frame: frame.to_vec(),
            });
        }
        samples.sort_by_key(|sample| sample.number);
        Ok(samples)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // What cannot be removed stays behind in the temporary directory.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.map_or(0, |word| u64::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(name: &str) -> Control {
        let path = std::env::temp_dir().join(format!("sluice-perf-{name}-{}", std::process::id()));
        Control::create(&path).unwrap()
    }

    #[test]
    fn what_is_played_lies_where_the_rig_reads_it() {
        let mut control = control("layout");
        let feed = Feed {
            offset: 7,
            count: 3,
            stride: 64,
            turned: true,
            lap_at: Some(34),
            parts: 2,
            wire: 1024,
        };
        let playing = Playing {
            records: "/r".into(),
            feeds: [Feed::default(), feed],
            delay: 1000,
            wire: "/w".into(),
        };
        assert_eq!(control.play(&playing).unwrap(), 1);
        assert_eq!(control.play(&playing).unwrap(), 2);
        let bytes = std::fs::read(control.path()).unwrap();
        let word = |at: usize| u32::from_ne_bytes(*bytes[at..].first_chunk().unwrap());
        assert_eq!([word(0), word(4), word(8), word(12)], [MAGIC, 2, 1000, 0]);
        assert_eq!(
            [56, 64, 68, 72, 76, 80, 84].map(word),
            [7, 3, 64, 1, 34, 2, 1024]
        );
        assert_eq!(bytes[88..91], *b"/r\0");
        assert_eq!(bytes[344..347], *b"/w\0");
        assert_eq!(bytes.len(), 65536 + 256 * 2048);
        control.answer(true).unwrap();
        control.time(true).unwrap();
        let bytes = std::fs::read(control.path()).unwrap();
        assert_eq!((bytes[12], bytes[20]), (1, 1));
    }

    #[test]
    fn nothing_is_read_before_the_contestant_polls() {
        let control = control("empty");
        assert_eq!(control.reading(0).unwrap(), None);
        assert_eq!(control.samples().unwrap(), []);
    }

    #[test]
    fn readings_and_samples_come_back() {
        let control = control("back");
        let words: [u64; 14] = [2, 10, 20, 30, 1, 2, 3, 4, 5, 6, 7, 80, 90, 9 | 77 << 32];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        control
            .file
            .write_all_at(&bytes, READINGS_AT + READING as u64)
            .unwrap();
        let reading = control.reading(1).unwrap().unwrap();
        assert_eq!((reading.tsc, reading.cpu_ns, reading.wall_ns), (10, 20, 30));
        assert_eq!((reading.rx, reading.tx), ([1, 2], [3, 4]));
        assert_eq!(
            (reading.laps, reading.no_buffer, reading.overflow),
            (5, 6, 7)
        );
        assert_eq!(reading.spent, [80, 90]);
        assert_eq!((reading.epoch, reading.tid), (9, 77));
        assert_eq!(
            (control.thread(1).unwrap(), control.thread(0).unwrap()),
            (Some(77), None)
        );
        control
            .file
            .write_all_at(&3_u64.to_ne_bytes(), READINGS_AT + READING as u64)
            .unwrap();
        assert!(control.reading(1).is_err(), "stopped while writing");
        assert_eq!(control.thread(1).unwrap(), Some(77));
        let sample = |number: u64, half: u64| {
            let mut slot = [2 * number + 2 - half, 3 | 1 << 32, 4]
                .map(u64::to_ne_bytes)
                .concat();
            slot.extend(b"abc");
            slot
        };
        control
            .file
            .write_all_at(&sample(257, 0), SAMPLES_AT + 2048)
            .unwrap();
        control
            .file
            .write_all_at(&sample(256, 0), SAMPLES_AT)
            .unwrap();
        control
            .file
            .write_all_at(&sample(258, 1), SAMPLES_AT + 4096)
            .unwrap();
        let samples = control.samples().unwrap();
        assert_eq!(
            samples.iter().map(|s| s.number).collect::<Vec<_>>(),
            [256, 257]
        );
        assert_eq!(
            (samples[0].side, samples[0].epoch, &samples[0].frame[..]),
            (1, 4, &b"abc"[..])
        );
    }
}
