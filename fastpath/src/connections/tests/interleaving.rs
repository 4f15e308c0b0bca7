//! Races played step by step on one thread: the other side acts inside the window.

use std::cell::Cell;

use zerocopy::FromZeros;

use crate::connections::entry::{Control, Entry, NOBODY, Side};
use crate::connections::index::{Index, Reference, Refusal};
use crate::connections::slots::{FreeStack, Hand};

use super::*;
use crate::connections::address::Width;
use crate::connections::line::Line;

const HASH: u32 = 0x1234_5678;
const BYSTANDER: u32 = 99;

fn reference(slot: u32) -> Reference {
    Reference {
        slot,
        direction: Direction::Original,
    }
}

/// While slot 0 is searching for its key (it is at the second bystander with the same tag), the first one
/// leaves and slot 1 enters the same key in its place. Slot 0 must notice although it has passed there.
#[test]
fn an_insertion_notices_an_equal_one_that_overtook_it() {
    for before in [2, 6, 7, 14] {
        let index = Index::new(1000);
        for n in 0..before {
            index
                .insert(HASH, reference(BYSTANDER + n), |_| false)
                .unwrap();
        }
        let overtaken = Cell::new(false);
        let outcome = index.insert(HASH, reference(0), |other| {
            if other.slot == BYSTANDER + 1 && !overtaken.replace(true) {
                assert!(index.remove(HASH, reference(BYSTANDER)));
                let rival = index.insert(HASH, reference(1), |other| other.slot < BYSTANDER);
                rival.expect("the rival meets bystanders only");
            }
            other.slot < BYSTANDER
        });
        assert_eq!(outcome, Err(Refusal::Duplicate), "{before} before");
        assert!(!index.remove(HASH, reference(0)), "it gave its place back");
        assert!(index.remove(HASH, reference(1)));
        for n in 1..before {
            assert!(index.remove(HASH, reference(BYSTANDER + n)));
        }
        assert_eq!(index.spilled(), (0, 0));
    }
}

/// The same with a key that only shares the bucket: both are entered.
#[test]
fn an_insertion_is_not_stopped_by_another_key_that_overtook_it() {
    let index = Index::new(1000);
    index.insert(HASH, reference(BYSTANDER), |_| false).unwrap();
    let overtaken = Cell::new(false);
    let outcome = index.insert(HASH, reference(0), |_| {
        if !overtaken.replace(true) {
            index.insert(HASH, reference(1), |_| false).unwrap();
        }
        false
    });
    assert_eq!(outcome, Ok(()));
    for slot in [0, 1, BYSTANDER] {
        assert_eq!(
            index.find(HASH, |r| (r.slot == slot).then_some(slot)),
            Some(slot)
        );
    }
}

/// Others that change the bucket in every round: the insertion gives up and leaves nothing behind.
#[test]
fn an_insertion_that_always_loses_ends() {
    let index = Index::new(1000);
    index.insert(HASH, reference(BYSTANDER), |_| false).unwrap();
    let outcome = index.insert(HASH, reference(0), |_| {
        index.insert(HASH, reference(1), |_| false).unwrap();
        assert!(index.remove(HASH, reference(1)));
        false
    });
    assert_eq!(outcome, Err(Refusal::Full));
    assert!(index.find(HASH, |r| (r.slot == 0).then_some(())).is_none());
}

fn unpublished() -> Entry<<Addr as Width>::Line> {
    let entry = Entry::new_zeroed();
    entry.begin();
    entry
}

/// Two workers saw the same entry of nobody; the second to act comes too late.
#[test]
fn a_claim_has_one_winner() {
    let entry = unpublished();
    let new = snat(1, State::UdpAssured);
    entry.write(
        &new.original,
        &new.reply,
        new.paths,
        First::default(),
        START,
    );
    entry.publish(NOBODY, State::UdpAssured, 0, 0);
    let line = entry.line(Direction::Original);
    let seen: Control = line.control();
    assert!(line.claim(seen, 1));
    assert!(!line.claim(seen, 2));
    assert_eq!(line.control().owner(), Some(WorkerId(1)));
}

/// A line is invisible while it is written, and a reader that began with the last tenant sees nothing.
#[test]
fn a_line_shows_one_tenant_or_none() {
    let entry = unpublished();
    let line = entry.line(Direction::Reply);
    let (first, second) = (snat(1, State::UdpNew), snat(2, State::UdpNew));
    let sees = |new: &NewConnection| line.glance(Addr::pack(&new.reply)).is_some();
    entry.write(
        &first.original,
        &first.reply,
        first.paths,
        First::default(),
        START,
    );
    assert!(
        !sees(&first) && line.holds(Addr::pack(&first.reply)),
        "written, not published"
    );
    let generation = entry.publish(0, State::UdpNew, 0, 0);
    assert!(sees(&first) && !sees(&second));
    entry.retire();
    assert!(!sees(&first) && line.copy().is_none());
    entry.write(
        &second.original,
        &second.reply,
        second.paths,
        First::default(),
        START,
    );
    assert!(!sees(&first) && !sees(&second));
    let next = entry.publish(0, State::UdpNew, 0, 0);
    assert!(!sees(&first) && sees(&second));
    assert_eq!(next, generation.wrapping_add(2));
}

/// Slots wander between hands and the stack; none is ever in two places or lost.
#[test]
fn free_slots_are_neither_lost_nor_doubled() {
    for capacity in [1usize, 5, 130, 9_000] {
        let sides: Vec<Side> = (0..capacity).map(|_| Side::new_zeroed()).collect();
        let stack = FreeStack::new(&sides, 2);
        let mut hands = [Hand::new(&stack), Hand::new(&stack)];
        let mut dice = Dice(capacity as u64);
        let mut taken = Vec::new();
        for round in 0..20_000 {
            // Ebb and flood, so that batches go both ways.
            let out = dice.roll(10) < if round / 2_000 % 2 == 0 { 7 } else { 3 };
            let hand = &mut hands[dice.roll(2) as usize];
            if out {
                taken.extend(hand.take(&stack, &sides));
            } else if !taken.is_empty() {
                let slot = taken.swap_remove(dice.roll(taken.len() as u32) as usize);
                hand.give(&stack, &sides, slot);
            }
        }
        for hand in &mut hands {
            hand.give_all(&stack, &sides);
        }
        let mut last = Hand::new(&stack);
        while let Some(slot) = last.take(&stack, &sides) {
            taken.push(slot);
        }
        taken.sort_unstable();
        assert_eq!(taken, (0..capacity as u32).collect::<Vec<u32>>());
    }
}
