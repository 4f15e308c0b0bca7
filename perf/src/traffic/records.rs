//! Frames as records: what the rig copies into a buffer for each packet.
//!
//! A record is the beginning of a frame, a multiple of 64 bytes; its last two bytes say how long the frame is.
//! What follows in a longer frame is zeros, which are in the buffer already: records of both sides are equally
//! long, or a short one would leave behind it what a long one wrote there. The payload begins with the number
//! of the flow, by which what comes out is recognised.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::rig::Feed;

/// Bytes of the length at the end of a record.
const LENGTH: usize = 2;
/// Bytes of the flow's number at the beginning of the payload.
const NUMBER: usize = 4;

/// The records of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    /// Bytes of a record.
    pub stride: usize,
    bytes: Vec<u8>,
}

impl Records {
    /// The frames that `frame` makes (from the record's number and flow) for each flow of the order, in order;
    /// `headers` are those of the side that has the most bytes of them.
    ///
    /// # Errors
    /// When a frame is not as [`body`] makes them.
    pub fn new(
        headers: usize,
        order: &[u32],
        mut frame: impl FnMut(usize, u32) -> Vec<u8>,
    ) -> anyhow::Result<Self> {
        let stride = stride(headers);
        let mut bytes = Vec::with_capacity(order.len() * stride);
        for (number, &flow) in order.iter().enumerate() {
            push(&mut bytes, stride, &frame(number, flow))?;
        }
        Ok(Self { stride, bytes })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.stride
    }

    /// All of them, one after the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The frame of a record, as the rig puts it together.
    pub fn frame(&self, number: usize) -> Vec<u8> {
        let at = number % self.len().max(1) * self.stride;
        let record = self.bytes.get(at..at + self.stride).unwrap_or_default();
        let length = record
            .last_chunk()
            .map_or(0, |bytes| u16::from_le_bytes(*bytes));
        let mut frame = record.to_vec();
        frame.resize(usize::from(length), 0);
        frame
    }

    /// A record and the frame's length, for a generator that copies it.
    pub fn record(&self, number: usize) -> Option<(&[u8], usize)> {
        let at = number * self.stride;
        let record = self.bytes.get(at..at + self.stride)?;
        Some((
            record,
            usize::from(u16::from_le_bytes(*record.last_chunk()?)),
        ))
    }
}

/// Bytes of a record whose frames have this many bytes of headers; the flow's number and the length must fit.
fn stride(headers: usize) -> usize {
    (headers + NUMBER + LENGTH).next_multiple_of(64)
}

fn push(bytes: &mut Vec<u8>, stride: usize, frame: &[u8]) -> anyhow::Result<()> {
    let length = u16::try_from(frame.len()).context("a frame is too long")?;
    let data = stride - LENGTH;
    let begin = frame.get(..frame.len().min(data)).unwrap_or_default();
    let rest = frame.get(stride..).unwrap_or_default();
    ensure!(
        rest.iter().all(|&byte| byte == 0),
        "a frame goes on behind its record"
    );
    let covered = frame.get(data..frame.len().min(stride)).unwrap_or_default();
    ensure!(
        length.to_le_bytes().starts_with(covered),
        "a frame has something else where its record has the length"
    );
    bytes.extend_from_slice(begin);
    bytes.resize(bytes.len() + data - begin.len(), 0);
    bytes.extend_from_slice(&length.to_le_bytes());
    Ok(())
}

/// The payload of a frame that has `headers` bytes before it and `frame` bytes in all. Its record is as long as
/// one for `beside` bytes of headers, if these are more: those of the other side's frames.
pub fn body(flow: u32, headers: usize, beside: usize, frame: usize) -> Vec<u8> {
    let mut bytes = vec![0; frame.saturating_sub(headers)];
    if let Some(number) = bytes.first_chunk_mut() {
        *number = flow.to_be_bytes();
    }
    // A longer frame's bytes are what its record says, the length included.
    let length = (frame as u16).to_le_bytes();
    let at = stride(headers.max(beside)) - LENGTH - headers;
    for (place, byte) in bytes.iter_mut().skip(at).zip(length) {
        *place = byte;
    }
    bytes
}

/// A file with the records of both sides, which is removed when this is dropped.
#[derive(Debug)]
pub struct Tape {
    path: PathBuf,
    /// Where each side's records are.
    pub feeds: [Feed; 2],
}

impl Tape {
    /// Writes the records of both sides.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(path: &Path, sides: [Option<&Records>; 2]) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        let tape = Self {
            path: path.to_owned(),
            feeds: [Feed::default(); 2],
        };
        tape.fill(BufWriter::new(file), sides)
    }

    fn fill(
        mut self,
        mut file: BufWriter<File>,
        sides: [Option<&Records>; 2],
    ) -> anyhow::Result<Self> {
        let mut offset = 0;
        for (feed, records) in self.feeds.iter_mut().zip(sides) {
            let Some(records) = records else { continue };
            file.write_all(&records.bytes)?;
            *feed = Feed {
                offset,
                count: u32::try_from(records.len())?,
                stride: records.stride as u32,
                ..Feed::default()
            };
            offset += records.bytes.len() as u64;
        }
        file.flush()?;
        Ok(self)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        // What cannot be removed stays behind in the temporary directory.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(flow: u32, length: usize) -> Vec<u8> {
        let mut frame = vec![0xee; 42];
        frame.extend(body(flow, 42, 0, length));
        frame
    }

    #[test]
    fn frames_come_back_from_their_records() {
        for lengths in [[60, 60], [60, 1514], [61, 63], [62, 64], [65, 100]] {
            let records = Records::new(42, &[7, 9], |n, flow| frame(flow, lengths[n])).unwrap();
            assert_eq!((records.stride, records.len()), (64, 2));
            for (n, flow) in [(0, 7), (1, 9)] {
                assert_eq!(records.frame(n), frame(flow, lengths[n]), "{lengths:?}");
                assert_eq!(records.frame(n)[42..46], flow.to_be_bytes());
                assert_eq!(records.record(n).unwrap().1, lengths[n]);
            }
            assert_eq!(records.record(2), None);
        }
    }

    #[test]
    fn frames_fit_into_records_for_longer_headers() {
        for length in [60, 64, 127, 128, 1514] {
            let frame = |flow| [vec![0xee; 42], body(flow, 42, 92, length)].concat();
            let records = Records::new(92, &[7], |_, flow| frame(flow)).unwrap();
            assert_eq!((records.stride, records.len()), (128, 1));
            assert_eq!(records.frame(0), frame(7), "{length}");
        }
    }

    #[test]
    fn records_grow_with_the_headers() {
        for (headers, expected) in [(42, 64), (58, 64), (59, 128), (100, 128), (123, 192)] {
            assert_eq!(stride(headers), expected, "{headers}");
        }
    }

    #[test]
    fn frames_that_a_record_cannot_hold_are_refused() {
        let mut long = frame(1, 200);
        long[150] = 1;
        assert!(Records::new(42, &[1], |_, _| long.clone()).is_err());
        let mut other = frame(1, 200);
        other[62] = 0xff;
        assert!(Records::new(42, &[1], |_, _| other.clone()).is_err());
    }

    #[test]
    fn a_tape_has_both_sides() {
        let path = std::env::temp_dir().join(format!("sluice-perf-tape-{}", std::process::id()));
        let one = Records::new(42, &[1, 2, 3], |_, flow| frame(flow, 60)).unwrap();
        let two = Records::new(70, &[4], |_, flow| {
            [vec![1; 70], body(flow, 70, 0, 90)].concat()
        })
        .unwrap();
        let tape = Tape::write(&path, [Some(&one), Some(&two)]).unwrap();
        let [a, b] = tape.feeds;
        assert_eq!((a.offset, a.count, a.stride), (0, 3, 64));
        assert_eq!((b.offset, b.count, b.stride), (192, 1, 128));
        assert_eq!(std::fs::read(&path).unwrap().len(), 320);
        drop(tape);
        assert!(!path.exists());
    }
}
