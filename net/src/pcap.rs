//! Classic pcap files: what a failing test leaves behind, and what tcpdump and Wireshark open.

use std::io::{self, Write};
use std::time::Duration;

use thiserror::Error;

/// Unit of the fractions of a second in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Microseconds, understood everywhere.
    Micro,
    /// Nanoseconds.
    Nano,
}

const MAGIC_MICRO: u32 = 0xa1b2_c3d4;
const MAGIC_NANO: u32 = 0xa1b2_3c4d;
const LINK_ETHERNET: u32 = 1;
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// Nothing that is larger is taken for a frame.
const SNAP_LEN: u32 = 262_144;

impl Precision {
    const fn magic(self) -> u32 {
        match self {
            Precision::Micro => MAGIC_MICRO,
            Precision::Nano => MAGIC_NANO,
        }
    }

    const fn nanoseconds(self) -> u32 {
        match self {
            Precision::Micro => 1000,
            Precision::Nano => 1,
        }
    }
}

/// Writes frames to anything that takes bytes.
#[derive(Debug)]
pub struct Writer<W: Write> {
    to: W,
    precision: Precision,
}

impl<W: Write> Writer<W> {
    /// Writes the file header.
    ///
    /// # Errors
    /// Those of the underlying writer.
    pub fn new(mut to: W, precision: Precision) -> io::Result<Writer<W>> {
        let mut header = Vec::with_capacity(FILE_HEADER);
        header.extend_from_slice(&precision.magic().to_le_bytes());
        header.extend_from_slice(&2u16.to_le_bytes());
        header.extend_from_slice(&4u16.to_le_bytes());
        header.extend_from_slice(&[0; 8]);
        header.extend_from_slice(&SNAP_LEN.to_le_bytes());
        header.extend_from_slice(&LINK_ETHERNET.to_le_bytes());
        to.write_all(&header)?;
        Ok(Writer { to, precision })
    }

    /// Writes one frame, seen at `time` since the epoch.
    ///
    /// # Errors
    /// Those of the underlying writer; `InvalidInput` for a frame of more than 256 KiB or a time after 2106.
    pub fn write(&mut self, time: Duration, frame: &[u8]) -> io::Result<()> {
        let too_large = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let seconds = u32::try_from(time.as_secs()).map_err(too_large)?;
        let len = u32::try_from(frame.len()).map_err(too_large)?;
        if len > SNAP_LEN {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let fraction = time.subsec_nanos() / self.precision.nanoseconds();
        for word in [seconds, fraction, len, len] {
            self.to.write_all(&word.to_le_bytes())?;
        }
        self.to.write_all(frame)
    }

    /// Flushes and gives the underlying writer back.
    ///
    /// # Errors
    /// Those of the underlying writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.to.flush()?;
        Ok(self.to)
    }
}

/// One frame of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When it was seen, since the epoch.
    pub time: Duration,
    /// Its length on the wire; more than `frame` has when the capture cut it.
    pub original_len: u32,
    /// The bytes that were captured.
    pub frame: &'a [u8],
}

/// Why a file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PcapError {
    /// No classic pcap magic number; pcapng is another format.
    #[error("not a classic pcap file")]
    Magic,
    /// Another link type than Ethernet.
    #[error("link type {0} is not Ethernet")]
    LinkType(u32),
    /// The file ends inside a header or a frame.
    #[error("file cut short")]
    Truncated,
    /// A record says it is larger than any frame.
    #[error("record of {0} bytes")]
    RecordLength(u32),
}

/// Reads the frames of a file, of either byte order and precision. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    big_endian: bool,
    precision: Precision,
}

impl<'a> Reader<'a> {
    /// Reads the file header.
    ///
    /// # Errors
    /// [`PcapError::Magic`], [`PcapError::LinkType`], [`PcapError::Truncated`].
    pub fn new(file: &'a [u8]) -> Result<Reader<'a>, PcapError> {
        let (header, rest) = file
            .split_first_chunk::<FILE_HEADER>()
            .ok_or(PcapError::Truncated)?;
        let magic = word(header, 0, false);
        let (big_endian, precision) = match (magic, magic.swap_bytes()) {
            (MAGIC_MICRO, _) => (false, Precision::Micro),
            (MAGIC_NANO, _) => (false, Precision::Nano),
            (_, MAGIC_MICRO) => (true, Precision::Micro),
            (_, MAGIC_NANO) => (true, Precision::Nano),
            _ => return Err(PcapError::Magic),
        };
        // The high half may say how long the frame check sequence is.
        let link = word(header, 20, big_endian) & 0xffff;
        if link != LINK_ETHERNET {
            return Err(PcapError::LinkType(link));
        }
        Ok(Reader {
            rest,
            big_endian,
            precision,
        })
    }

    /// The precision of the file.
    #[must_use]
    pub const fn precision(&self) -> Precision {
        self.precision
    }

    fn record(&mut self) -> Result<Record<'a>, PcapError> {
        let (header, rest) = self
            .rest
            .split_first_chunk::<RECORD_HEADER>()
            .ok_or(PcapError::Truncated)?;
        let [seconds, fraction, len, original_len] =
            [0, 4, 8, 12].map(|at| word(header, at, self.big_endian));
        if len > SNAP_LEN {
            return Err(PcapError::RecordLength(len));
        }
        let (frame, rest) = rest
            .split_at_checked(len as usize)
            .ok_or(PcapError::Truncated)?;
        self.rest = rest;
        let nanoseconds = u64::from(fraction) * u64::from(self.precision.nanoseconds());
        let time = Duration::from_secs(seconds.into()) + Duration::from_nanos(nanoseconds);
        Ok(Record {
            time,
            original_len,
            frame,
        })
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Record<'a>, PcapError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.rest = &[];
        }
        Some(record)
    }
}

fn word(header: &[u8], at: usize, big_endian: bool) -> u32 {
    let bytes = header
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .unwrap_or_default();
    if big_endian {
        u32::from_be_bytes(bytes)
    } else {
        u32::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_are_those_of_the_format() {
        let mut writer = Writer::new(Vec::new(), Precision::Micro).unwrap();
        writer
            .write(Duration::new(1, 2_000_999), &[0xaa, 0xbb])
            .unwrap();
        #[rustfmt::skip]
        let expected = [
            0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0,
            1, 0, 0, 0, 0xd0, 7, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0xaa, 0xbb,
        ];
        assert_eq!(writer.finish().unwrap(), expected);
    }

    #[test]
    fn refusals() {
        assert_eq!(Reader::new(&[0; 23]).unwrap_err(), PcapError::Truncated);
        assert_eq!(Reader::new(&[0; 24]).unwrap_err(), PcapError::Magic);
        let mut file = Writer::new(Vec::new(), Precision::Nano)
            .unwrap()
            .finish()
            .unwrap();
        file.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0, 0, 0, 0, 0]);
        let mut reader = Reader::new(&file).unwrap();
        assert_eq!(reader.next(), Some(Err(PcapError::RecordLength(0xff_0000))));
        assert_eq!(reader.next(), None);
        file[20] = 113;
        assert_eq!(Reader::new(&file).unwrap_err(), PcapError::LinkType(113));
        let late = Duration::from_secs(1 << 32);
        let mut writer = Writer::new(Vec::new(), Precision::Nano).unwrap();
        assert_eq!(
            writer.write(late, &[]).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        let huge = vec![0; SNAP_LEN as usize + 1];
        assert_eq!(
            writer.write(Duration::ZERO, &huge).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        assert_eq!(
            writer.finish().unwrap().len(),
            FILE_HEADER,
            "a refused frame leaves no bytes"
        );
    }

    #[test]
    fn big_endian_files_read_the_same() {
        let mut file = vec![];
        for word in [MAGIC_NANO, 0x0002_0004, 0, 0, SNAP_LEN, 1, 7, 8, 3, 60] {
            file.extend_from_slice(&word.to_be_bytes());
        }
        file.extend_from_slice(&[1, 2, 3]);
        let records: Vec<_> = Reader::new(&file).unwrap().collect();
        let record = Record {
            time: Duration::new(7, 8),
            original_len: 60,
            frame: &[1, 2, 3],
        };
        assert_eq!(records, [Ok(record)]);
    }

    proptest! {
        #[test]
        fn round_trip_and_every_cut_is_noticed(
            frames: Vec<Vec<u8>>, seconds: u32, nanos in 0u32..1_000_000_000, cut: u16
        ) {
            let time = Duration::new(seconds.into(), nanos);
            let mut writer = Writer::new(Vec::new(), Precision::Nano).unwrap();
            for frame in &frames {
                writer.write(time, frame).unwrap();
            }
            let file = writer.finish().unwrap();
            let read: Result<Vec<_>, _> = Reader::new(&file).unwrap().collect();
            let read = read.unwrap();
            prop_assert_eq!(read.iter().map(|r| r.frame.to_vec()).collect::<Vec<_>>(), frames.clone());
            prop_assert!(read.iter().all(|r| r.time == time && r.original_len as usize == r.frame.len()));

            let cut = &file[..usize::from(cut) % (file.len() + 1)];
            if let Ok(reader) = Reader::new(cut) {
                let whole = reader.clone().filter(Result::is_ok).count();
                let failed = reader.filter(|r| *r == Err(PcapError::Truncated)).count();
                let used: usize = frames[..whole].iter().map(|f| RECORD_HEADER + f.len()).sum();
                prop_assert_eq!(failed, usize::from(FILE_HEADER + used != cut.len()));
            }
        }
    }
}
