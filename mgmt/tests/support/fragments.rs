//! Cutting packets into fragments and putting them together, without the code under test.

use sluice_net::wire::ip_proto;
use sluice_net::{Fragment, parse};

/// Bytes that a fragment's extent says.
struct Cut {
    offset: usize,
    data: Vec<u8>,
    more: bool,
}

/// Cuts a whole IPv4 packet, or an IPv6 packet without extension headers, at these bytes of its payload, rounded down to
/// units of 8. `id` is its identification.
pub fn cut(frame: &[u8], id: u32, at: &[usize]) -> Vec<Vec<u8>> {
    let headers = parse(frame).expect("a packet");
    let ip = headers.ip().expect("an IP packet");
    let (start, end) = (
        usize::from(ip.l4_offset),
        usize::from(headers.l3_offset + ip.total_len),
    );
    let payload = &frame[start..end];
    let mut at: Vec<usize> = at.iter().map(|at| at & !7).collect();
    at.extend([0, payload.len()]);
    at.retain(|at| *at <= payload.len());
    at.sort_unstable();
    at.dedup();
    let piece = |pair: &[usize]| Cut {
        offset: pair[0],
        data: payload[pair[0]..pair[1]].to_vec(),
        more: pair[1] < payload.len(),
    };
    let l3 = usize::from(headers.l3_offset);
    at.windows(2)
        .map(|pair| match ip.is_v6() {
            false => piece_v4(&frame[..start], l3, id, &piece(pair)),
            true => piece_v6(&frame[..start], l3, id, &piece(pair)),
        })
        .collect()
}

fn piece_v4(before: &[u8], l3: usize, id: u32, cut: &Cut) -> Vec<u8> {
    let mut frame = before.to_vec();
    let len = (before.len() - l3 + cut.data.len()) as u16;
    let flags = (cut.offset as u16 / 8) | if cut.more { 0x2000 } else { 0 };
    frame[l3 + 2..l3 + 4].copy_from_slice(&len.to_be_bytes());
    frame[l3 + 4..l3 + 6].copy_from_slice(&(id as u16).to_be_bytes());
    frame[l3 + 6..l3 + 8].copy_from_slice(&flags.to_be_bytes());
    frame[l3 + 10..l3 + 12].fill(0);
    let sum: u32 = frame[l3..]
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
        .sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[l3 + 10..l3 + 12].copy_from_slice(&sum.to_be_bytes());
    frame.extend_from_slice(&cut.data);
    frame
}

fn piece_v6(before: &[u8], l3: usize, id: u32, cut: &Cut) -> Vec<u8> {
    let mut frame = before.to_vec();
    let next = std::mem::replace(&mut frame[l3 + 6], ip_proto::FRAGMENT);
    let len = (8 + cut.data.len()) as u16;
    frame[l3 + 4..l3 + 6].copy_from_slice(&len.to_be_bytes());
    let flags = cut.offset as u16 | u16::from(cut.more);
    frame.extend_from_slice(&[next, 0]);
    frame.extend_from_slice(&flags.to_be_bytes());
    frame.extend_from_slice(&id.to_be_bytes());
    frame.extend_from_slice(&cut.data);
    frame
}

/// The packet that fragments in any order make, as its receiver has it: untagged, its identification 0. What comes last wins.
///
/// # Errors
/// What is missing or does not fit together.
pub fn join(fragments: &[Vec<u8>]) -> Result<Vec<u8>, String> {
    let mut bytes: Vec<Option<u8>> = Vec::new();
    let (mut end, mut head) = (None, None);
    for frame in fragments {
        let headers = parse(frame).map_err(|error| error.to_string())?;
        let ip = headers.ip().ok_or("not IP")?;
        let from = usize::from(ip.extent.offset);
        let stop = usize::from(headers.l3_offset + ip.total_len);
        let data = &frame[stop - usize::from(ip.extent.len)..stop];
        if bytes.len() < from + data.len() {
            bytes.resize(from + data.len(), None);
        }
        for (place, byte) in bytes[from..].iter_mut().zip(data) {
            *place = Some(*byte);
        }
        if !ip.extent.more {
            end = Some(from + data.len());
        }
        if ip.fragment != Fragment::Later {
            head = Some((headers, frame[..stop - usize::from(ip.extent.len)].to_vec()));
        }
    }
    if end != Some(bytes.len()) {
        return Err(format!("ends at {end:?}, has {} bytes", bytes.len()));
    }
    let payload: Vec<u8> = bytes
        .into_iter()
        .collect::<Option<_>>()
        .ok_or("a piece is missing")?;
    let (headers, mut frame) = head.ok_or("the first is missing")?;
    let l3 = usize::from(headers.l3_offset);
    if headers.ip().is_some_and(sluice_net::Ip::is_v6) {
        if frame[l3 + 6] == ip_proto::FRAGMENT {
            frame[l3 + 6] = frame[l3 + 40];
            frame.truncate(l3 + 40);
        }
        frame[l3 + 4..l3 + 6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
        frame.extend_from_slice(&payload);
        return Ok(frame);
    }
    frame.extend_from_slice(&payload);
    let whole = cut_header(&frame[..frame.len() - payload.len()], l3, payload);
    Ok(whole)
}

fn cut_header(before: &[u8], l3: usize, data: Vec<u8>) -> Vec<u8> {
    let whole = Cut {
        offset: 0,
        data,
        more: false,
    };
    piece_v4(before, l3, 0, &whole)
}
