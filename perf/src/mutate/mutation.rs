//! How a right frame becomes a wrong one.

use sluice_net::checksum::checksum;

use super::corpus::Corpus;
use super::random::Random;

/// Values that lengths, offsets and counts go wrong at.
const EDGES: [u16; 14] = [
    0, 1, 4, 7, 8, 19, 20, 39, 40, 255, 0x5ff, 0x7fff, 0x8000, 0xffff,
];

/// The next frame, and the number of the device it arrives on.
pub(super) fn frame(corpus: &Corpus, random: &mut Random) -> (u64, Vec<u8>) {
    let (device, original) = random.pick(&corpus.frames);
    let mut frame = original.clone();
    if random.one_in(6) {
        vary_flow(&mut frame, random);
    }
    // Some stay right: the others are to meet connections, neighbors and MACs.
    let damages = [0, 1, 1, 2, 4][random.below(5)];
    for _ in 0..damages {
        damage(&mut frame, corpus, random);
    }
    if damages > 0 && !random.one_in(3) {
        mend(&mut frame, random);
    }
    let device = if random.one_in(12) {
        random.next()
    } else {
        *device
    };
    (device, frame)
}

fn damage(frame: &mut Vec<u8>, corpus: &Corpus, random: &mut Random) {
    match random.below(9) {
        0..=2 => flip(frame, random),
        3 => frame.truncate(random.below(frame.len() + 1)),
        4 => {
            let more = random.below(80);
            frame.extend((0..more).map(|_| random.next() as u8));
        }
        5 | 6 => edge(frame, random),
        7 => splice(frame, random.pick(&corpus.frames).1.as_slice(), random),
        _ => nest(frame, corpus, random),
    }
}

/// Some bits, most of them in the headers.
fn flip(frame: &mut [u8], random: &mut Random) {
    for _ in 0..=random.below(6) {
        let reach = if random.one_in(4) {
            frame.len()
        } else {
            frame.len().min(120)
        };
        if reach > 0 {
            frame[random.below(reach)] ^= 1 << random.below(8);
        }
    }
}

/// A 16-bit word, or a byte, becomes a value at an edge.
fn edge(frame: &mut [u8], random: &mut Random) {
    let reach = frame.len().min(130);
    if reach < 2 {
        return;
    }
    let at = random.below(reach - 1);
    let value = *random.pick(&EDGES);
    if random.one_in(2) {
        frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
    } else {
        frame[at] = value as u8;
    }
}

/// The head of this frame, the tail of another.
fn splice(frame: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let head = random.below(frame.len() + 1);
    let tail = if random.one_in(2) {
        head.min(other.len())
    } else {
        random.below(other.len() + 1)
    };
    frame.truncate(head);
    frame.extend_from_slice(&other[tail..]);
}

/// The frame inside the outer headers of a tunnel packet.
fn nest(frame: &mut Vec<u8>, corpus: &Corpus, random: &mut Random) {
    if frame.len() < 9_000 {
        let outer = random.pick(&corpus.outer);
        frame.splice(0..0, outer.iter().copied());
    }
}

/// Another flow: the lowest bytes of what would be addresses and ports in IPv4 without options.
fn vary_flow(frame: &mut [u8], random: &mut Random) {
    for at in [29, 33, 35, 37] {
        if let Some(byte) = frame.get_mut(at)
            && random.one_in(2)
        {
            *byte = random.next() as u8;
        }
    }
    mend(frame, random);
}

/// Lengths and header checksums of the outermost IPv4 header, and of the one inside a tunnel, so that the
/// damage gets deeper in; UDP checksums of tunnels become zero.
fn mend(frame: &mut [u8], random: &mut Random) {
    let mut at = 0;
    for _ in 0..3 {
        let Some(next) = mend_ipv4(frame, at, random) else {
            return;
        };
        at = next;
    }
}

/// Where the inner frame begins, if there is one.
fn mend_ipv4(frame: &mut [u8], start: usize, random: &mut Random) -> Option<usize> {
    let tagged = frame.get(start + 12..start + 14)? == [0x81, 0x00];
    let l3 = start + 14 + if tagged { 4 } else { 0 };
    if frame.get(l3 - 2..l3)? != [0x08, 0x00] {
        return None;
    }
    let header = usize::from(frame.get(l3)? & 0xf) * 4;
    let rest = u16::try_from(frame.len() - l3).ok()?;
    frame.get(l3..l3 + header.max(20))?;
    if !random.one_in(8) {
        frame[l3 + 2..l3 + 4].copy_from_slice(&rest.to_be_bytes());
    }
    frame[l3 + 10..l3 + 12].copy_from_slice(&[0, 0]);
    let sum = checksum(frame.get(l3..l3 + header)?);
    frame[l3 + 10..l3 + 12].copy_from_slice(&sum.to_be_bytes());
    let udp = l3 + header;
    if frame[l3 + 9] != 17 || frame.len() < udp + 8 {
        return None;
    }
    let len = rest.checked_sub(header as u16)?;
    frame[udp + 4..udp + 6].copy_from_slice(&len.to_be_bytes());
    let inner = match frame[udp + 2..udp + 4] {
        [0x17, 0xc1] => 8 + usize::from(*frame.get(udp + 8)? & 0x3f) * 4,
        [0x12, 0xb5] => 8,
        _ => return None,
    };
    frame[udp + 6..udp + 8].copy_from_slice(&[0, 0]);
    Some(udp + 8 + inner)
}
