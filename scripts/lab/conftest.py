"""Options and fixtures of the namespace tests."""

import os
import shutil
from pathlib import Path

import pytest

import netns
from node import Binaries


def pytest_addoption(parser):
    parser.addoption(
        "--binary-dir", help="directory of sluiced and sluicectl (default: target/release)"
    )
    parser.addoption(
        "--log-dir", help="where the daemons' logs of a failed test go (default: not kept)"
    )


def pytest_configure(config):
    netns.sweep()


def pytest_sessionstart(session):
    if os.geteuid() != 0:
        pytest.exit("namespace tests need root", returncode=2)


@pytest.fixture(scope="session")
def binaries(request):
    """The daemon and the operator's command; without them a test cannot run."""
    found = Binaries(request.config.getoption("--binary-dir"))
    reason = found.missing()
    if reason:
        pytest.fail(reason, pytrace=False)
    return found


@pytest.fixture(scope="module")
def lab(request):
    """A laboratory for the tests of one file."""
    failures = request.session.testsfailed
    with netns.Lab() as laboratory:
        yield laboratory
        keep = request.config.getoption("--log-dir")
        if keep and request.session.testsfailed > failures:
            for log in laboratory.directory.glob("*/sluiced.log"):
                target = Path(keep) / request.node.path.stem
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(log, target / f"{log.parent.name}.log")


def require(*programs):
    """A mark that skips a test, naming what is not installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")
