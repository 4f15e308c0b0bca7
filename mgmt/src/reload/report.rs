//! What a reload did, or a check found.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::compile::Changes;

/// What a reload did, or what a check says that it would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// Everything that was wrong, rendered for people; then nothing changed.
    pub errors: Option<String>,
    /// What came, went or changed, a line each: `+`, `-` or `~`, noun, name.
    pub changes: Vec<String>,
    /// What is probably not meant.
    pub warnings: Vec<String>,
    /// Keys of the node file whose new value waits for a restart.
    pub restart: Vec<String>,
    /// The generation in effect afterwards.
    pub generation: u64,
    /// Seconds from reading the files to publishing the tables.
    pub seconds: f64,
}

impl ReloadReport {
    /// A report of changes.
    #[must_use]
    pub fn of(changes: &Changes, restart: Vec<String>) -> Self {
        Self {
            changes: changes.items.iter().map(ToString::to_string).collect(),
            warnings: changes.warnings.clone(),
            restart,
            ..Self::default()
        }
    }

    /// A report of a refusal.
    #[must_use]
    pub fn refused(errors: String) -> Self {
        Self {
            errors: Some(errors),
            ..Self::default()
        }
    }

    /// One line: how many things came, went and changed.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |sign: char| {
            self.changes
                .iter()
                .filter(|line| line.starts_with(sign))
                .count()
        };
        let (added, removed, changed) = (count('+'), count('-'), count('~'));
        match (added, removed, changed) {
            (0, 0, 0) => "nothing changes".to_owned(),
            _ => format!("{added} added, {removed} removed, {changed} changed"),
        }
    }
}

impl fmt::Display for ReloadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(errors) = &self.errors {
            return f.write_str(errors);
        }
        for line in &self.changes {
            writeln!(f, "{line}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for key in &self.restart {
            writeln!(f, "warning: {key} takes effect after a restart")?;
        }
        Ok(())
    }
}
