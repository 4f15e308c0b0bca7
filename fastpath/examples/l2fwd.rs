//! Forwards frames between two DPDK devices: a quick test of a driver on a machine.
//!
//! ```text
//! l2fwd [--seconds N] [--workers N] [--mtu N] [--hugepages auto|on|off] [--verbose] DEVARGS DEVARGS
//! l2fwd --seconds 10 net_af_packet0,iface=eth1 net_tap0,iface=vm1
//! ```

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sluice_fastpath::io::dpdk::{DeviceConfig, Devices, DpdkPorts, Eal, EalOptions, Hugepages};
use sluice_fastpath::io::{Burst, DeviceId, Ports};

struct Arguments {
    seconds: u64,
    workers: usize,
    mtu: u16,
    hugepages: Hugepages,
    verbose: bool,
    devargs: Vec<String>,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut parsed = Arguments {
        seconds: 5,
        workers: 1,
        mtu: 1500,
        hugepages: Hugepages::Auto,
        verbose: false,
        devargs: Vec::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--seconds" => parsed.seconds = value()?.parse()?,
            "--workers" => parsed.workers = value()?.parse()?,
            "--mtu" => parsed.mtu = value()?.parse()?,
            "--hugepages" => {
                parsed.hugepages = match value()?.as_str() {
                    "on" => Hugepages::On,
                    "off" => Hugepages::Off,
                    _ => Hugepages::Auto,
                }
            }
            "--verbose" => parsed.verbose = true,
            _ => parsed.devargs.push(word),
        }
    }
    if parsed.devargs.len() != 2 {
        return Err(
            "two devices are needed, as in: l2fwd net_af_packet0,iface=eth1 net_tap0,iface=vm1"
                .into(),
        );
    }
    Ok(parsed)
}

fn forward(mut ports: DpdkPorts, stop: &AtomicBool) {
    let mut burst = Burst::new();
    let mut idle = 0u32;
    while !stop.load(Ordering::Relaxed) {
        let mut moved = 0;
        for (from, to) in [(0, 1), (1, 0)] {
            ports.rx_burst(DeviceId(from), &mut burst);
            moved += burst.len();
            ports.tx_burst(DeviceId(to), &mut burst);
            burst.clear();
        }
        idle = if moved > 0 { 0 } else { idle.saturating_add(1) };
        if idle > 64 {
            thread::sleep(Duration::from_micros(50));
        }
    }
}

fn report(devices: &Devices) {
    for device in devices.devices() {
        println!("{} {:?} {:?}", device.name(), device.link(), device.stats());
    }
    println!(
        "{} of {} buffers in use",
        devices.pool().in_use(),
        devices.pool().capacity()
    );
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    let config = |devargs: &String| DeviceConfig {
        name: devargs.split(',').next().unwrap_or_default().to_owned(),
        devargs: devargs.clone(),
        mtu: arguments.mtu,
        rx_queues_wanted: 0,
        tx_queues_wanted: 0,
        descriptors: 0,
    };
    let configs: Vec<DeviceConfig> = arguments.devargs.iter().map(config).collect();
    let begin = Instant::now();
    let eal = Eal::init(&EalOptions {
        hugepages: arguments.hugepages,
        memory_mb: Devices::memory_mb(&configs, arguments.workers)?,
        verbose: arguments.verbose,
        extra: Vec::new(),
    })?;
    let devices = Devices::open(eal, &configs, arguments.workers)?;
    let memory = if eal.hugepages() {
        "hugepages"
    } else {
        "ordinary memory"
    };
    println!(
        "{} in {memory}, open after {:?}",
        Eal::version(),
        begin.elapsed()
    );
    for device in devices.devices() {
        println!(
            "{} {} {:02x?} {:?}",
            device.name(),
            device.driver(),
            device.mac(),
            device.queues()
        );
    }
    devices
        .warnings()
        .iter()
        .for_each(|warning| println!("warning: {warning}"));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for ports in (0..arguments.workers).filter_map(|worker| devices.ports(worker)) {
            scope.spawn(|| forward(ports, &stop));
        }
        thread::sleep(Duration::from_secs(arguments.seconds));
        stop.store(true, Ordering::Relaxed);
    });
    report(&devices);
    Ok(())
}
