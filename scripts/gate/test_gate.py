"""The gate's own scripts: what they find, and what they let through."""

from pathlib import Path

import pytest

import imports
import licences

CASES = [
    ("fastpath", "stage/route.rs", "use crate::stage::nat::Proposal;", "no other stage"),
    ("fastpath", "stage/route.rs", "use super::{nat, neighbor};", "no other stage"),
    ("fastpath", "stage/route.rs", "use crate::{ids::Tick, worker::Worker};", "import worker"),
    ("fastpath", "stage/route.rs", "use crate::io::DeviceId;", None),
    ("fastpath", "stage/route.rs", "use crate::io::{DeviceId, Frame};", "import io"),
    ("fastpath", "stage/route.rs", "fn f(x: crate::trace::Event) {}", "import trace"),
    ("fastpath", "stage/route.rs", "// see crate::worker::run\nuse crate::tables::Tables;", None),
    ("fastpath", "stage/route.rs", "#[cfg(test)]\nmod tests { use crate::worker::run; }", None),
    ("fastpath", "stage/tests.rs", "use crate::worker::run;", None),
    ("fastpath", "tables/fib.rs", "use crate::stage::route;", "import stage"),
    ("fastpath", "pipeline.rs", "use crate::stage::{nat, route};", None),
    ("fastpath", "pipeline.rs", "use crate::worker::{self, Worker as W};", "import worker"),
    ("slowpath", "arp.rs", "use sluice_fastpath::tables::Tables;", "agent alone"),
    ("slowpath", "agent/reply.rs", "use sluice_fastpath::tables::Tables;", None),
    ("mgmt", "config/load.rs", "use sluice_fastpath::tables::Tables;", "import sluice_fastpath"),
    ("mgmt", "topology/check/mod.rs", "use crate::config::Node;", "import config"),
    ("mgmt", "config/load.rs", "use crate::topology::{self, Topology};", None),
]


@pytest.mark.parametrize("crate, relative, text, reason", CASES)
def test_imports(tmp_path, crate, relative, text, reason):
    file = tmp_path / "file.rs"
    file.write_text(text)
    errors = []
    imports.check_file(crate, file, Path(relative), errors)
    if reason is None:
        assert errors == []
    else:
        assert len(errors) >= 1 and all(reason in error for error in errors)


@pytest.mark.parametrize(
    "name, text, found",
    [
        ("net/src/a.rs", "unsafe { f() }", True),
        ("net/src/a.rs", "#![allow(unsafe_code)]", True),
        ("net/src/a.rs", "// unsafe { }\n#![forbid(unsafe_code)]", False),
        ("fastpath/src/io/dpdk/mbuf.rs", "unsafe impl Send for Mbuf {}", False),
        ("fastpath/src/io/memory.rs", "unsafe impl Send for Frame {}", True),
    ],
)
def test_unsafe_fence(tmp_path, name, text, found):
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text(text)
    errors = []
    imports.check_unsafe(tmp_path, file, errors)
    assert bool(errors) == found


@pytest.mark.parametrize(
    "expression, allowed, met",
    [
        ("MIT OR Apache-2.0", {"MIT"}, True),
        ("MIT/GPL-3.0", {"MIT"}, True),
        ("MIT AND GPL-3.0", {"MIT"}, False),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", {"Apache-2.0", "Unicode-3.0"}, True),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", {"MIT", "Apache-2.0"}, False),
        ("Apache-2.0 WITH LLVM-exception", {"Apache-2.0"}, False),
        ("Apache-2.0 WITH LLVM-exception OR MIT", {"MIT"}, True),
        ("GPL-3.0-or-later", {"MIT"}, False),
    ],
)
def test_licence_expressions(expression, allowed, met):
    assert licences.satisfied(expression, allowed) == met


@pytest.mark.parametrize("expression", ["MIT OR", "(MIT", "MIT MIT"])
def test_unreadable_licences_are_errors(expression):
    with pytest.raises(ValueError):
        licences.satisfied(expression, {"MIT"})
