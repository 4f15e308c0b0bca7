//! Every configuration that we hand out holds.

use std::path::{Path, PathBuf};

use super::{configs, host};
use crate::config::load_on;

fn directories_below(path: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            directories_below(&path, found);
            found.push(path);
        }
    }
}

fn toml_files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let files = entries.map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect()
}

#[test]
fn every_node_loads_without_a_word_and_every_topology_is_used() {
    let mut directories = Vec::new();
    directories_below(&configs(), &mut directories);
    let mut nodes = 0;
    for directory in directories {
        let (topologies, node_files): (Vec<_>, Vec<_>) =
            toml_files(&directory).into_iter().partition(|path| {
                path.file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .starts_with("topology")
            });
        let mut used = Vec::new();
        for file in node_files {
            let loaded = load_on(&file, &host()).unwrap_or_else(|errors| panic!("{errors}"));
            assert!(
                loaded.warnings.is_empty(),
                "{}: {}",
                file.display(),
                loaded.warnings
            );
            used.push(loaded.node.topology.clone());
            nodes += 1;
        }
        for topology in topologies {
            assert!(
                used.contains(&topology),
                "{} has no node",
                topology.display()
            );
        }
    }
    assert!(nodes >= 20, "only {nodes} node files found");
}

#[test]
fn every_key_is_in_the_reference() {
    let reference = std::fs::read_to_string(configs().join("README.md")).unwrap();
    for key in crate::config::keys() {
        let told = [
            format!("`{key}`"),
            format!("`[{key}"),
            format!(".{key}]]`"),
            format!(".{key}.NAME]`"),
        ];
        assert!(
            told.iter().any(|t| reference.contains(t)),
            "configs/README.md lacks `{key}`"
        );
    }
}

#[test]
fn every_topology_key_has_an_example() {
    let mut directories = Vec::new();
    directories_below(&configs(), &mut directories);
    let files = directories
        .iter()
        .flat_map(|directory| toml_files(directory));
    let all: String = files
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    // Keys that are better left out, but for a reason of one's own.
    let rare = [
        "redirect_key",
        "memory",
        "connections",
        "neighbors",
        "fdb",
        "control",
        "socket",
    ];
    for key in crate::config::keys()
        .into_iter()
        .filter(|key| !rare.contains(key))
    {
        let named = all.contains(&format!("{key} = ")) || all.contains(&format!("{key}."));
        assert!(
            named || all.contains(&format!("[{key}]")) || all.contains(&format!(".{key}]]")),
            "{key}"
        );
    }
}
