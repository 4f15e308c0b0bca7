//! The directory of a run, in memory.

use std::path::PathBuf;

use crate::contestant::Site;

/// Removes the directory of a site when it is dropped, however the run ended.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn of(site: &Site) -> Self {
        Self(site.directory.clone())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays behind in the temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
