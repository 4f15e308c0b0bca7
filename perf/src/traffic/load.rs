//! How much of a scenario: flows, frame sizes, popularity.

use std::fmt;
use std::str::FromStr;

/// Bytes of the frame check sequence, which no frame in memory has.
const FCS: usize = 4;

/// Frame sizes as people count them on the wire, frame check sequence included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    /// All equal.
    Bytes(u16),
    /// Seven of 64, four of 594, one of 1518.
    Imix,
}

const IMIX: [usize; 12] = [64, 64, 594, 64, 64, 594, 64, 1518, 64, 594, 64, 594];

impl Size {
    /// Bytes in memory of the `n`th frame, at least `least`.
    pub fn frame(self, n: usize, least: usize) -> usize {
        let wire = match self {
            Size::Bytes(bytes) => usize::from(bytes),
            Size::Imix => IMIX[n % IMIX.len()],
        };
        wire.saturating_sub(FCS).max(least)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Size::Bytes(bytes) => write!(f, "{bytes}"),
            Size::Imix => write!(f, "IMIX"),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("imix") {
            return Ok(Size::Imix);
        }
        match text.parse() {
            Ok(bytes) if (64..=1518).contains(&bytes) => Ok(Size::Bytes(bytes)),
            _ => Err("a frame has 64 to 1518 bytes; or IMIX".into()),
        }
    }
}

/// How often each flow comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// All equally often, in random order.
    #[default]
    Uniform,
    /// The nth most frequent 1/n as often as the first.
    Zipf,
}

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "uniform" => Ok(Order::Uniform),
            "zipf" => Ok(Order::Zipf),
            _ => Err("uniform or zipf".into()),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Order::Uniform => "uniform",
            Order::Zipf => "zipf",
        })
    }
}

/// How much of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Flows in one direction.
    pub flows: u32,
    /// Frame sizes.
    pub size: Size,
    /// How often each flow comes.
    pub order: Order,
}

impl Load {
    /// The flows as people write them: 1k, 1M.
    pub fn flows_text(&self) -> String {
        match self.flows {
            n if n >= 1_000_000 && n.is_multiple_of(1_000_000) => format!("{}M", n / 1_000_000),
            n if n >= 1_000 && n.is_multiple_of(1_000) => format!("{}k", n / 1_000),
            n => n.to_string(),
        }
    }
}

/// Reads 1, 1k, 100k, 1M.
///
/// # Errors
/// Anything else.
pub fn parse_flows(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k') => (&text[..text.len() - 1], 1_000),
        Some(b'M') => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    let number: u32 = digits
        .parse()
        .map_err(|_| "a number of flows: 1, 1k, 100k, 1M".to_owned())?;
    match number.checked_mul(unit) {
        Some(flows) if (1..=4_000_000).contains(&flows) => Ok(flows),
        _ => Err("1 to 4M flows".into()),
    }
}

/// Reads a time in seconds.
///
/// # Errors
/// Anything that is no finite number above 0.
pub fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds > 0.0 => Ok(seconds),
        _ => Err("seconds, more than 0".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_on_the_wire() {
        assert_eq!(Size::Bytes(64).frame(5, 0), 60);
        assert_eq!(Size::Bytes(64).frame(5, 66), 66);
        let mean: usize = (0..24).map(|n| Size::Imix.frame(n, 0) + 4).sum::<usize>() / 24;
        assert_eq!(mean, (7 * 64 + 4 * 594 + 1518) / 12);
        assert_eq!("imix".parse(), Ok(Size::Imix));
        assert_eq!("1500".parse(), Ok(Size::Bytes(1500)));
        assert!("63".parse::<Size>().is_err() && "9000".parse::<Size>().is_err());
    }

    #[test]
    fn times_are_finite_and_pass() {
        assert_eq!(parse_seconds("0.06"), Ok(0.06));
        for text in ["", "0", "-0", "-1", "inf", "nan", "1e999", "1s"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn flows_have_units() {
        for (text, flows) in [
            ("1", 1),
            ("1k", 1_000),
            ("100k", 100_000),
            ("1M", 1_000_000),
        ] {
            assert_eq!(parse_flows(text), Ok(flows));
            let load = Load {
                flows,
                size: Size::Imix,
                order: Order::Uniform,
            };
            assert_eq!(load.flows_text(), text);
        }
        for text in ["", "k", "0", "5M", "1G", "-1"] {
            assert!(parse_flows(text).is_err(), "{text}");
        }
    }
}
