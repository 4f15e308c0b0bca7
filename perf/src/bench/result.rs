//! What was measured.

use serde::Serialize;

use super::Window;

/// What became of one contestant in one cell.
#[derive(Clone, Debug, Serialize)]
pub enum Outcome {
    /// Its windows, and how many sampled frames were found right.
    Measured {
        /// In the order they were taken.
        windows: Vec<Window>,
        /// Sampled frames that were compared byte by byte.
        verified: usize,
    },
    /// Why there are none.
    Failed(String),
}

/// One contestant at one load of one scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// The scenario.
    pub scenario: String,
    /// Flows in one direction.
    pub flows: u32,
    /// Frame size.
    pub size: String,
    /// Order of flows.
    pub order: String,
    /// Who.
    pub contestant: String,
    /// What came of it.
    pub outcome: Outcome,
}

impl Cell {
    /// Median cycles per packet.
    pub fn cycles(&self) -> Option<f64> {
        self.median(|window| window.cycles)
    }

    /// Median of some number of the windows.
    pub fn median(&self, of: impl Fn(&Window) -> f64) -> Option<f64> {
        match &self.outcome {
            Outcome::Measured { windows, .. } => median(windows.iter().map(of).collect()),
            Outcome::Failed(_) => None,
        }
    }

    /// Half the distance between the quartiles, in percent of the median.
    pub fn spread(&self) -> Option<f64> {
        let Outcome::Measured { windows, .. } = &self.outcome else {
            return None;
        };
        let mut cycles: Vec<f64> = windows.iter().map(|window| window.cycles).collect();
        cycles.sort_by(f64::total_cmp);
        let (low, high) = (
            cycles.get(cycles.len() / 4)?,
            cycles.get(cycles.len() * 3 / 4)?,
        );
        Some((high - low) / 2.0 / median(cycles.clone())? * 100.0)
    }
}

/// The middle value; of an even number the mean of both.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (
        values.get(values.len().checked_sub(1)? / 2)?,
        values.get(values.len() / 2)?,
    );
    Some((low + high) / 2.0)
}

/// Everything of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// Where and with what.
    pub machine: crate::report::Machine,
    /// In the order of the report.
    pub cells: Vec<Cell>,
}

impl Results {
    /// The cell of another contestant under the same load.
    pub fn beside(&self, cell: &Cell, contestant: &str) -> Option<&Cell> {
        self.cells.iter().find(|other| {
            (&other.scenario, other.flows, &other.size, &other.order)
                == (&cell.scenario, cell.flows, &cell.size, &cell.order)
                && other.contestant == contestant
        })
    }

    /// Median cycles above what `testpmd io` takes under the same load.
    pub fn above_io(&self, cell: &Cell) -> Option<f64> {
        Some(cell.cycles()? - self.beside(cell, "testpmd-io")?.cycles()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(vec![1.0, 2.0, 4.0, 9.0]), Some(3.0));
    }
}
