use super::lab::*;
use crate::agent::AgentRequest;
use crossbeam::channel::unbounded;
use sluice_fastpath::exchange::Sighting;
use sluice_fastpath::ids::{PortId, Tick};
use sluice_net::Mac;

fn mac(last: u8) -> Mac {
    Mac([2, 0, 0, 0, 7, last])
}

fn seen(domain: u32, mac: Mac, port: PortId) -> Sighting {
    Sighting::Mac { domain, mac, port }
}

#[test]
fn macs_are_learned_up_to_the_switchs_limit() {
    let mut lab = Lab::new();
    for last in 0..5 {
        lab.sight(seen(DOMAIN_SW, mac(last), VM_PORT));
        lab.sight(seen(DOMAIN_SW, mac(last), VM_PORT));
    }
    assert_eq!(lab.moved(), [("macs-learned", 3), ("macs-refused", 4)]);
    assert_eq!(
        lab.learned
            .fdb
            .lookup(DOMAIN_SW, mac(2))
            .map(|hit| hit.port),
        Some(VM_PORT)
    );
    assert_eq!(lab.learned.fdb.lookup(DOMAIN_SW, mac(3)), None);
    lab.sight(seen(DOMAIN_EXT, mac(3), WIRE));
    assert_eq!(
        lab.moved(),
        [("macs-learned", 1)],
        "another switch has room"
    );
}

#[test]
fn what_is_not_learned() {
    let cases = [
        ("a router's MAC", seen(DOMAIN_SW, INNER, VM_PORT)),
        ("a group", seen(DOMAIN_SW, Mac([3, 0, 0, 0, 0, 1]), VM_PORT)),
        ("another switch's domain", seen(DOMAIN_EXT, mac(1), VM_PORT)),
        ("an unknown domain", seen(99, mac(1), VM_PORT)),
        ("a port that does not learn", seen(DOMAIN_SW, mac(1), SW_R1)),
        ("a router port", seen(DOMAIN_SW, mac(1), R1_SW)),
    ];
    for (name, sighting) in cases {
        let mut lab = Lab::new();
        lab.sight(sighting);
        assert_eq!(lab.moved(), [("stale", 1)], "{name}");
        assert_eq!(lab.learned.fdb.iter().count(), 0, "{name}");
    }
}

#[test]
fn silent_macs_are_forgotten_after_their_age_and_used_ones_stay() {
    let mut lab = Lab::new();
    lab.sight(seen(DOMAIN_SW, mac(1), VM_PORT));
    lab.sight(seen(DOMAIN_SW, mac(2), VM_PORT));
    lab.sleep(30_000);
    let slot = lab.learned.fdb.lookup(DOMAIN_SW, mac(2)).unwrap().slot;
    lab.learned.fdb.mark_used(slot, Tick(lab.now));
    lab.sleep(29_000);
    assert_eq!(lab.learned.fdb.iter().count(), 2);
    lab.sleep(2_000);
    assert_eq!(lab.learned.fdb.lookup(DOMAIN_SW, mac(1)), None);
    assert!(lab.learned.fdb.lookup(DOMAIN_SW, mac(2)).is_some());
    lab.sleep(31_000);
    assert_eq!(lab.moved(), [("macs-expired", 2), ("macs-learned", 2)]);
}

#[test]
fn a_new_generation_forgets_what_it_forbids() {
    let mut lab = Lab::new();
    lab.sight(seen(DOMAIN_SW, mac(1), VM_PORT));
    lab.sight(seen(DOMAIN_SW, mac(2), VM_PORT));
    lab.sight(seen(DOMAIN_EXT, mac(3), WIRE));
    let mut sw = inner_switch();
    sw.by_mac.insert(mac(1), 0);
    let mut ext = outer_switch();
    ext.domains[0].id = 55;
    let mut next = tables(2, sw, router(), ext);
    next.underlay = None;
    lab.publish(next);
    let left: Vec<Mac> = lab.learned.fdb.iter().map(|entry| entry.mac).collect();
    assert_eq!(
        left,
        [mac(2)],
        "one is given now, one is of a domain that has gone"
    );
}

#[test]
fn flushing_a_domain_leaves_the_others() {
    let mut lab = Lab::new();
    lab.sight(seen(DOMAIN_SW, mac(1), VM_PORT));
    lab.sight(seen(DOMAIN_SW, mac(2), VM_PORT));
    lab.sight(seen(DOMAIN_EXT, mac(3), WIRE));
    let (done, told) = unbounded();
    lab.request(AgentRequest::FlushFdb {
        domain: Some(DOMAIN_SW),
        done: Some(done.clone()),
    });
    assert_eq!(told.try_recv(), Ok(2));
    assert!(lab.learned.fdb.lookup(DOMAIN_EXT, mac(3)).is_some());
    lab.request(AgentRequest::FlushFdb {
        domain: None,
        done: Some(done),
    });
    assert_eq!(told.try_recv(), Ok(1));
}
