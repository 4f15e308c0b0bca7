"""N2's routing half, over IPv4 and IPv6."""

import pytest

import n2


@pytest.fixture(scope="module")
def network(lab, binaries):
    return n2.N2(lab, binaries)


@pytest.mark.parametrize("check", n2.CHECKS, ids=str)
def test_seen(network, check):
    check.see(network)
