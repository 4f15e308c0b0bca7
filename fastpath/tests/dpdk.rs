//! DPDK's software devices, for real: buffers, queues, life cycle. Needs neither privileges nor hugepages.
#![cfg(feature = "dpdk")]

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use proptest::prelude::*;
use sluice_fastpath::connections::FlowKey4;
use sluice_fastpath::ids::Zone;
use sluice_fastpath::io::dpdk::{
    DeviceConfig, DeviceProblem, Devices, DpdkError, DpdkPorts, Eal, EalOptions, Hugepages, Mbuf,
    Pool,
};
use sluice_fastpath::io::{BURST, Burst, DeviceId, Frame, FramePool, Ports};

/// DPDK starts once per process, so the tests share it. Devices have names of their own in each test; the guard
/// keeps opening and closing them apart.
fn eal() -> (Eal, MutexGuard<'static, ()>) {
    static EAL: OnceLock<Eal> = OnceLock::new();
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let options = EalOptions {
        hugepages: Hugepages::Off,
        memory_mb: 640,
        ..EalOptions::default()
    };
    let eal = EAL.get_or_init(|| Eal::init(&options).unwrap_or_else(|e| panic!("{e}")));
    (*eal, guard)
}

fn configs(devargs: &[&str]) -> Vec<DeviceConfig> {
    let config = |devargs: &&str| DeviceConfig {
        name: format!("if-{devargs}"),
        devargs: (*devargs).to_owned(),
        mtu: 1500,
        rx_queues_wanted: 0,
        tx_queues_wanted: 0,
        descriptors: 256,
    };
    devargs.iter().map(config).collect()
}

fn open(eal: Eal, devargs: &[&str], workers: usize) -> Devices {
    Devices::open(eal, &configs(devargs), workers).unwrap_or_else(|e| panic!("{e}"))
}

fn ports(devices: &Devices, worker: usize) -> DpdkPorts {
    devices
        .ports(worker)
        .unwrap_or_else(|| panic!("worker {worker} has its ports already"))
}

fn frame(pool: &Pool, data: &[u8]) -> Mbuf {
    pool.alloc(data)
        .unwrap_or_else(|| panic!("no buffer for {} bytes", data.len()))
}

#[test]
fn dpdk_starts_once() {
    let (_eal, _guard) = eal();
    assert!(matches!(
        Eal::init(&EalOptions::default()),
        Err(DpdkError::AlreadyStarted)
    ));
    assert!(Eal::version().starts_with("DPDK "));
}

#[test]
fn frames_come_back_in_order_through_a_ring() {
    let (eal, _guard) = eal();
    let devices = open(eal, &["net_ring_order"], 1);
    let (ring, mut worker) = (DeviceId(0), ports(&devices, 0));
    let before = devices.pool().in_use();
    let mut burst: Burst<Mbuf> = (0..BURST as u8)
        .map(|n| frame(devices.pool(), &[n; 60]))
        .collect();
    assert_eq!(worker.tx_burst(ring, &mut burst), BURST);
    assert!(burst.is_empty());
    worker.rx_burst(ring, &mut burst);
    let bytes: Vec<&[u8]> = burst.iter().map(Frame::data).collect();
    let expected: Vec<[u8; 60]> = (0..BURST as u8).map(|n| [n; 60]).collect();
    assert_eq!(bytes, expected);
    burst.clear();
    assert_eq!(devices.pool().in_use(), before);
    let stats = devices
        .device(ring)
        .map(|device| device.stats())
        .unwrap_or_default();
    assert_eq!(
        (stats.rx_packets, stats.tx_packets),
        (BURST as u64, BURST as u64)
    );
}

#[test]
fn a_full_ring_takes_what_fits_and_leaves_the_rest() {
    let (eal, _guard) = eal();
    let devices = open(eal, &["net_ring_full"], 1);
    let (ring, mut worker) = (DeviceId(0), ports(&devices, 0));
    let before = devices.pool().in_use();
    let (mut sent, mut burst) = (0u32, Burst::new());
    let left = loop {
        while let Some(data) = (!burst.is_full()).then(|| (sent + burst.len() as u32).to_be_bytes())
        {
            burst.push(frame(devices.pool(), &data));
        }
        let taken = worker.tx_burst(ring, &mut burst) as u32;
        sent += taken;
        if taken < BURST as u32 {
            break burst.first().map(|mbuf| mbuf.data().to_vec());
        }
        assert!(sent < 100_000, "the ring never fills");
    };
    assert_eq!(left, Some(sent.to_be_bytes().to_vec()));
    burst.clear();
    assert_eq!(devices.pool().in_use(), before + sent);
    let mut next = 0;
    loop {
        worker.rx_burst(ring, &mut burst);
        if burst.is_empty() {
            break;
        }
        for mbuf in burst.drain(..) {
            assert_eq!(mbuf.data(), u32::to_be_bytes(next));
            next += 1;
        }
    }
    assert_eq!(next, sent);
    assert_eq!(devices.pool().in_use(), before);
}

#[test]
fn a_burst_that_is_partly_full_is_filled_up() {
    let (eal, _guard) = eal();
    let devices = open(eal, &["net_null_partly"], 1);
    let mut worker = ports(&devices, 0);
    let mut burst = Burst::new();
    burst.push(frame(devices.pool(), b"first"));
    worker.rx_burst(DeviceId(0), &mut burst);
    assert_eq!(burst.len(), BURST);
    assert_eq!(burst.first().map(Frame::data), Some(b"first".as_slice()));
    worker.rx_burst(DeviceId(0), &mut burst);
    assert_eq!(burst.len(), BURST);
}

#[test]
fn every_worker_has_its_own_queue_on_its_own_thread() {
    let (eal, _guard) = eal();
    let devices = open(eal, &["net_null_two"], 2);
    let before = devices.pool().in_use();
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let mut ports = ports(&devices, worker);
            scope.spawn(move || {
                let mut burst = Burst::new();
                for _ in 0..1000 {
                    ports.rx_burst(DeviceId(0), &mut burst);
                    assert_eq!(burst.len(), BURST);
                    assert_eq!(ports.tx_burst(DeviceId(0), &mut burst), BURST);
                }
            });
        }
    });
    assert_eq!(devices.pool().in_use(), before);
    assert_eq!(
        devices.device(DeviceId(0)).map(|d| d.stats().tx_packets),
        Some(2 * 1000 * BURST as u64)
    );
}

#[test]
fn a_device_tells_how_it_spreads_packets() {
    let (eal, _guard) = eal();
    let devices = open(eal, &["net_null_spread"], 2);
    let spreads = devices.spreads();
    let spread = spreads[0].as_ref().expect("the driver tells");
    let flow = |src_port| FlowKey4 {
        src: 0x0808_0808,
        dst: 0xcb00_7101,
        src_port,
        dst_port: 5000,
        proto: 17,
        zone: Zone(1),
    };
    let queues: HashSet<u16> = (0..64).map(|port| spread.queue(&flow(port))).collect();
    assert!(queues.iter().all(|queue| *queue < 2), "{queues:?}");
    drop(devices);
    let one = open(eal, &["net_null_spread"], 1);
    assert!(one.spreads()[0].is_none(), "one queue");
}

#[test]
fn a_worker_takes_its_ports_once() {
    let (eal, _guard) = eal();
    let devices = open(eal, &["net_null_once"], 1);
    let first = ports(&devices, 0);
    assert!(devices.ports(0).is_none());
    assert!(devices.ports(1).is_none());
    assert!(first.can_rx(DeviceId(0)) && first.can_tx(DeviceId(0)));
    assert!(!first.can_rx(DeviceId(1)) && !first.can_tx(DeviceId(1)));
    drop(first);
    assert!(devices.ports(0).is_some());
}

#[test]
fn unknown_devices_move_nothing() {
    let (eal, _guard) = eal();
    let devices = open(eal, &["net_null_unknown"], 1);
    let (mut worker, mut burst) = (ports(&devices, 0), Burst::new());
    worker.rx_burst(DeviceId(7), &mut burst);
    assert!(burst.is_empty());
    burst.push(frame(devices.pool(), b"stays"));
    assert_eq!(worker.tx_burst(DeviceId(7), &mut burst), 0);
    assert_eq!(burst.len(), 1);
}

#[test]
fn devices_close_when_their_last_user_is_gone() {
    let (eal, _guard) = eal();
    let names = ["net_null_close"];
    let devices = open(eal, &names, 1);
    let worker = ports(&devices, 0);
    drop(devices);
    let busy = Devices::open(eal, &configs(&names), 1).map(|_| ());
    assert!(
        matches!(
            &busy,
            Err(DpdkError::Device {
                problem: DeviceProblem::Twice,
                ..
            })
        ),
        "{busy:?}"
    );
    drop(worker);
    let again = open(eal, &names, 1);
    assert_eq!(
        again.device(DeviceId(0)).map(|d| d.driver().to_owned()),
        Some("net_null".to_owned())
    );
}

#[test]
fn a_bad_device_closes_the_good_ones() {
    let (eal, _guard) = eal();
    for bad in [
        "net_af_packet_x,iface=no-such-if",
        "net_no_such_driver0",
        "0000:ff:1f.7",
        "net_null_good",
    ] {
        let error = Devices::open(eal, &configs(&["net_null_good", bad]), 1).map(|_| ());
        let text = error.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(
            text.starts_with(&format!("interface if-{bad} ({bad}): ")),
            "{text}"
        );
    }
    drop(open(eal, &["net_null_good"], 1));
}

#[test]
fn a_buffer_that_is_too_small_is_refused_and_returned() {
    let (eal, _guard) = eal();
    let pool = Pool::new(eal, 511, 2176).unwrap_or_else(|e| panic!("{e}"));
    assert!(pool.alloc(&[0; 2049]).is_none());
    assert!(pool.alloc(&[0; 65_536 + 60]).is_none());
    assert_eq!(pool.in_use(), 0);
    let all: Vec<Mbuf> = std::iter::from_fn(|| pool.alloc(&[0; 2048])).collect();
    assert_eq!(all.len(), 511);
    drop(all);
    assert_eq!(pool.in_use(), 0);
}

#[derive(Clone, Debug)]
enum Edit {
    Push(usize),
    Pull(usize),
    Append(usize),
    Truncate(usize),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![
        (0usize..200).prop_map(Edit::Push),
        (0usize..200).prop_map(Edit::Pull),
        (0usize..2300).prop_map(Edit::Append),
        (0usize..300).prop_map(Edit::Truncate),
        Just(Edit::Pull(70_000)),
        Just(Edit::Append(70_000)),
        Just(Edit::Push(70_000)),
    ];
    prop::collection::vec(edit, 0..40)
}

/// A buffer behaves like a vector edited at its two ends, with 128 bytes before and 2,048 behind its start.
fn compare_with_a_vector(pool: &Pool, edits: Vec<Edit>) -> Result<(), TestCaseError> {
    let (mut frame, mut model, mut headroom) = (frame(pool, &[7; 100]), vec![7u8; 100], 128usize);
    for (n, edit) in edits.into_iter().enumerate() {
        let fill = n as u8;
        match edit {
            Edit::Push(n) => {
                let new = frame.push(n);
                prop_assert_eq!(new.is_some(), n <= headroom);
                if let Some(new) = new {
                    new.fill(fill);
                    model.splice(0..0, std::iter::repeat_n(fill, n));
                    headroom -= n;
                }
            }
            Edit::Pull(n) => {
                prop_assert_eq!(frame.pull(n), n <= model.len());
                if n <= model.len() {
                    model.drain(..n);
                    headroom += n;
                }
            }
            Edit::Append(n) => {
                let new = frame.append(n);
                prop_assert_eq!(new.is_some(), headroom + model.len() + n <= 2176);
                if let Some(new) = new {
                    new.fill(fill);
                    model.resize(model.len() + n, fill);
                }
            }
            Edit::Truncate(len) => {
                frame.truncate(len);
                model.truncate(len);
            }
        }
        prop_assert_eq!(frame.data(), model.as_slice());
        prop_assert_eq!(frame.data_mut(), model.as_mut_slice());
    }
    Ok(())
}

#[test]
fn a_buffer_is_a_vector_with_two_ends() {
    let (eal, _guard) = eal();
    let pool = Pool::new(eal, 255, 2176).unwrap_or_else(|e| panic!("{e}"));
    proptest!(|(edits in edits())| compare_with_a_vector(&pool, edits)?);
    assert_eq!(pool.in_use(), 0);
}
