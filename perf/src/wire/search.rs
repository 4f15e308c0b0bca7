//! The highest rate at which no more than a share of the frames is lost, after RFC 2544 section 26.1, with trials
//! shared between the shares that are asked for.

use serde::Serialize;

/// Relative distance between the highest good and the lowest bad rate at which the search ends.
const PRECISION: f64 = 0.02;
/// Trials for one goal at most.
const MOST: usize = 14;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Goal {
    /// Its name.
    pub name: &'static str,
    /// Share of the frames that may be lost.
    pub loss: f64,
}

impl Goal {
    /// Nothing is lost (non-drop rate), and half a percent (partial drop rate).
    pub const ALL: [Goal; 2] = [
        Goal {
            name: "NDR",
            loss: 0.0,
        },
        Goal {
            name: "PDR",
            loss: 0.005,
        },
    ];
}

/// A rate that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// Million frames a second offered.
    pub rate: f64,
    /// Share of them that was lost.
    pub loss: f64,
}

/// Searches between 0 and `most` for each goal in turn; `trial` says what is lost at a rate. A rate has to lose
/// too much twice before it counts as bad: on a machine with other guests once is no proof. Returns the highest
/// good rate for each goal, `None` when not even a hundredth of `most` is good.
///
/// # Errors
/// What `trial` says.
pub fn search<E>(
    goals: &[Goal],
    most: f64,
    mut trial: impl FnMut(f64) -> Result<Tried, E>,
) -> Result<(Vec<Option<f64>>, Vec<Tried>), E> {
    let mut tried: Vec<Tried> = Vec::new();
    let mut found = Vec::new();
    for goal in goals {
        for _ in 0..MOST {
            let (good, bad) = bounds(&tried, goal, most);
            if bad - good <= bad * PRECISION || bad < most / 100.0 {
                break;
            }
            let unknown = !tried.iter().any(|tried| tried.loss > goal.loss);
            let rate = match good {
                // The top itself first.
                _ if unknown && good < most => most,
                0.0 => bad / 2.0,
                good => (good + bad) / 2.0,
            };
            let mut now = trial(rate)?;
            if now.loss > goal.loss {
                let again = trial(rate)?;
                now.loss = now.loss.min(again.loss);
            }
            tried.push(Tried {
                rate,
                loss: now.loss,
            });
        }
        let (good, _) = bounds(&tried, goal, most);
        found.push(Some(good).filter(|&good| good > 0.0));
    }
    Ok((found, tried))
}

/// The lowest rate that was bad, and the highest good one below it.
fn bounds(tried: &[Tried], goal: &Goal, most: f64) -> (f64, f64) {
    let bad = tried
        .iter()
        .filter(|tried| tried.loss > goal.loss)
        .map(|tried| tried.rate)
        .fold(f64::INFINITY, f64::min);
    let good = tried
        .iter()
        .filter(|tried| tried.loss <= goal.loss && tried.rate < bad)
        .map(|tried| tried.rate)
        .fold(0.0, f64::max);
    (good, bad.min(most.max(good)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device that forwards no more than `capacity`, and loses one in a million from `flaw` on.
    fn device(capacity: f64, flaw: f64) -> impl Fn(f64) -> Result<Tried, ()> {
        move |rate| {
            let over = (1.0 - capacity / rate).max(0.0);
            let loss = if rate >= flaw { over.max(1e-6) } else { over };
            Ok(Tried { rate, loss })
        }
    }

    #[test]
    fn both_rates_are_found() {
        let (found, tried) = search(&Goal::ALL, 30.0, device(10.0, 6.0)).unwrap();
        let [Some(ndr), Some(pdr)] = found[..] else {
            panic!("{found:?}")
        };
        assert!((5.85..6.0).contains(&ndr), "{ndr}");
        assert!((9.8..10.06).contains(&pdr), "{pdr}");
        assert!(tried.len() < 20, "{}", tried.len());
    }

    #[test]
    fn a_device_that_keeps_up_reaches_the_top() {
        let (found, tried) = search(&Goal::ALL, 30.0, device(100.0, 100.0)).unwrap();
        assert_eq!(found, [Some(30.0), Some(30.0)]);
        assert_eq!(tried.len(), 1);
    }

    #[test]
    fn one_that_loses_everything_has_no_rate() {
        let (found, _) = search(&Goal::ALL, 30.0, device(0.0, 0.0)).unwrap();
        assert_eq!(found, [None, None]);
    }

    #[test]
    fn one_bad_trial_is_no_proof() {
        let mut trials = 0;
        let found = search(&Goal::ALL[..1], 30.0, |rate| {
            trials += 1;
            let loss = if trials == 1 { 0.5 } else { 0.0 };
            Ok::<_, ()>(Tried { rate, loss })
        });
        assert_eq!(found.unwrap().0, [Some(30.0)]);
    }

    #[test]
    fn errors_end_the_search() {
        assert_eq!(
            search(&Goal::ALL, 1.0, |_| Err::<Tried, _>("dead")),
            Err("dead")
        );
    }
}
