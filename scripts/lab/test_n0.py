"""N0 with both gateways up: the one of higher priority carries everything."""

import pytest

import n0


@pytest.fixture(scope="module")
def network(lab, binaries):
    return n0.N0(lab, binaries)


@pytest.mark.parametrize("check", n0.CHECKS, ids=str)
def test_seen(network, check):
    check.see(network)
