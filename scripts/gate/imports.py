"""Who may import whom, and where `unsafe` may stand.

    imports.py [REPOSITORY]

Tests are not bound by the arrows: a file `tests.rs` or under `tests/`, and what follows
`#[cfg(test)]` in a file.
"""

import re
import sys
import tomllib
from pathlib import Path

# net <- fastpath <- slowpath <- mgmt <- perf; dpdk-sys for fastpath alone.
CRATES = {
    "dpdk-sys": set(),
    "net": set(),
    "fastpath": {"net", "dpdk-sys"},
    "slowpath": {"net", "fastpath"},
    "mgmt": {"net", "fastpath", "slowpath"},
    "perf": {"net", "fastpath", "slowpath", "mgmt"},
}

# Module, what it must not import, and what is let through: plain names of things (a device's
# number, a note to the slow path) that carry no behaviour with them.
NAMES = {"io::DeviceId", "exchange::Sighting"}
ABOVE_STAGES = {"pipeline", "worker", "io", "counters", "trace"}
ABOVE_TABLES = ABOVE_STAGES | {"stage"}
ARROWS = {
    "fastpath": [
        ("tables", ABOVE_TABLES),
        ("verdict", ABOVE_TABLES),
        ("rewrite", ABOVE_TABLES),
        ("learned", ABOVE_TABLES),
        ("connections", ABOVE_TABLES),
        ("stage", ABOVE_STAGES),
        ("pipeline", {"worker", "io", "counters"}),
        ("path", {"worker", "io", "counters"}),
        ("trace", {"worker", "io", "counters"}),
        ("io", {"tables", "verdict", "stage", "pipeline", "worker", "trace", "connections"}),
    ],
    "mgmt": [
        ("topology", {"config", "compile", "reload", "runtime", "control", "sluice_fastpath", "sluice_slowpath"}),
        ("config", {"compile", "reload", "runtime", "control", "sluice_fastpath", "sluice_slowpath"}),
        ("compile", {"reload", "runtime", "control", "metrics", "sluice_slowpath"}),
        ("ha", {"config", "compile", "reload", "runtime", "control"}),
    ],
}
# The slow path's protocol machines know packets only; the agent alone knows the fast path.
SLOWPATH_MAY_USE_FASTPATH = {"agent"}
# The rig of the benchmarks is C in the contestant's process; two calls start it,
# one keeps that process from outliving its own.
UNSAFE = ("dpdk-sys/", "fastpath/src/io/dpdk/", "perf/src/rig/")

PATH = re.compile(r"(?<![\w:.])((?:crate|super|self|sluice_\w+)(?:::\w+)*)(::\{)?")


def code_of(text):
    """The text without comments, string contents and what follows `#[cfg(test)]`."""
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r'"(?:\\.|[^"\\])*"', '""', text)
    return re.split(r"#\[cfg\(test\)\]\s*(?:pub\s*)?mod\s", text)[0]


def expand(tree):
    """The paths of a use tree's braces: `a::b, c::{d, e}` gives a::b, c::d, c::e."""
    paths, depth, part = [], 0, ""
    for char in tree + ",":
        if char == "," and depth == 0:
            part = part.strip()
            head, brace, rest = part.partition("::{")
            if brace:
                paths += [f"{head}::{tail}" for tail in expand(rest[: rest.rindex("}")])]
            elif part:
                paths.append(part.split(" as ")[0].strip())
            part = ""
            continue
        depth += (char == "{") - (char == "}")
        part += char
    return paths


def paths_of(code):
    """Every path to our own crates or modules in the code, braces expanded."""
    for found in PATH.finditer(code):
        if not found[2]:
            yield found[1]
            continue
        depth, end = 1, found.end()
        while depth and end < len(code):
            depth += (code[end] == "{") - (code[end] == "}")
            end += 1
        for tail in expand(code[found.end() : end - 1]):
            yield f"{found[1]}::{tail}"


def module_of(relative):
    """The module path of a source file below `src/`, and of its children's parent."""
    parts = list(relative.with_suffix("").parts)
    if parts[-1] in ("mod", "lib", "main"):
        parts.pop()
    return parts


def resolve(path, module):
    """A path with `crate`, `self` and `super` resolved: ["io", "DeviceId"] or ["sluice_net", ...]."""
    words = path.split("::")
    if words[0].startswith("sluice_"):
        return words
    if words[0] == "crate":
        return words[1:]
    here = list(module)
    while words and words[0] in ("super", "self"):
        if words.pop(0) == "super" and here:
            here.pop()
    return here + words


def is_test(relative):
    """Whether a whole source file is a test."""
    return relative.stem.endswith("tests") or "tests" in relative.parts[:-1]


def check_manifest(repository, crate, errors):
    """The arrows between crates, in Cargo.toml."""
    manifest = tomllib.loads((repository / crate / "Cargo.toml").read_text())
    for table in ("dependencies", "build-dependencies"):
        for name in manifest.get(table, {}):
            target = name.removeprefix("sluice-")
            if target in CRATES and target not in CRATES[crate]:
                errors.append(f"{crate}/Cargo.toml: {crate} must not depend on {target}")


def check_file(crate, file, relative, errors):
    """The arrows between the modules of a crate, and from there to other crates."""
    module = module_of(relative)
    if not module or is_test(relative):
        return
    for path in sorted(set(paths_of(code_of(file.read_text())))):
        target = resolve(path, module)
        why = forbidden(crate, module, target)
        if why:
            errors.append(f"{file}: {'::'.join(target)}: {why}")


def forbidden(crate, module, target):
    """Why a module of the crate must not import the target, or None."""
    if not target or "::".join(target[:2]) in NAMES:
        return None
    for name, banned in ARROWS.get(crate, []):
        if module[0] == name and target[0] in banned:
            return f"{name} must not import {target[0]}"
    if crate == "fastpath" and module[0] == target[0] == "stage" and len(module) > 1:
        if len(target) > 1 and target[1] != module[1]:
            return "a stage imports no other stage"
    if crate == "slowpath" and target[0] == "sluice_fastpath":
        if module[0] not in SLOWPATH_MAY_USE_FASTPATH:
            return "protocol machines import net only; the agent alone touches fastpath"
    return None


def check_unsafe(repository, file, errors):
    """`unsafe` code stands only behind the fence."""
    name = file.relative_to(repository).as_posix()
    if name.startswith(UNSAFE):
        return
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if re.search(r"\bunsafe\s*(\{|fn|impl|extern|trait)|allow\(unsafe_code\)", line.split("//")[0]):
            errors.append(f"{name}:{number}: unsafe outside {' and '.join(UNSAFE)}")


def main(repository):
    """Checks the tree; returns the exit code."""
    repository = Path(repository).resolve()
    errors, files = [], 0
    for crate in CRATES:
        check_manifest(repository, crate, errors)
        for file in sorted((repository / crate).rglob("*.rs")):
            files += 1
            check_unsafe(repository, file, errors)
            source = repository / crate / "src"
            if file.is_relative_to(source):
                check_file(crate, file, file.relative_to(source), errors)
    for error in errors:
        print(error.replace(f"{repository}/", ""))
    print(f"{files} files, {len(errors)} against the rules")
    return 1 if errors or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]))
