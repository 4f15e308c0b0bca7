//! What an operator sees: messages word for word.
//!
//! A case is a file of `golden/`: `--- NAME` begins a file of the configuration, `--- expected`
//! what is shown. `SLUICE_GOLDEN=update` writes what is shown now; read the difference.

use std::path::Path;

use super::Files;

fn sections(case: &str) -> Vec<(&str, &str)> {
    let starts = case.match_indices("--- ").map(|(start, _)| start);
    let starts: Vec<_> = starts
        .filter(|start| *start == 0 || case[..*start].ends_with('\n'))
        .chain([case.len()])
        .collect();
    let parts = starts
        .windows(2)
        .map(|pair| &case[pair[0] + "--- ".len()..pair[1]]);
    parts
        .map(|part| part.split_once('\n').expect("a name, then text"))
        .collect()
}

fn shown(files: &[(&str, &str)]) -> String {
    let files = Files::new(files);
    let text = match files.load() {
        Ok(loaded) => loaded.warnings.render(false),
        Err(errors) => errors.render(false),
    };
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    files.without_directory(&(lines.join("\n").trim_end().to_owned() + "\n"))
}

#[test]
fn messages() {
    let update = std::env::var_os("SLUICE_GOLDEN").is_some_and(|value| value == "update");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests/golden");
    let mut cases = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let case = std::fs::read_to_string(&path).unwrap();
        let mut files = sections(&case);
        let (last, expected) = files.pop().expect("a case has sections");
        assert_eq!(last, "expected", "{}", path.display());
        let shown = shown(&files);
        cases += 1;
        if update {
            let input: String = files.iter().map(|(n, t)| format!("--- {n}\n{t}")).collect();
            std::fs::write(&path, format!("{input}--- expected\n{shown}")).unwrap();
        } else if shown != expected {
            wrong.push(format!(
                "{}\nshown:\n{shown}\nexpected:\n{expected}",
                path.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(cases >= 12, "only {cases} cases");
}
