"""N1 with IPv6 beside IPv4: what works without translation works the same."""

import pytest

import n1


@pytest.fixture(scope="module")
def network(lab, binaries):
    return n1.N1(lab, binaries, ipv6=True)


@pytest.mark.parametrize("check", n1.CHECKS6, ids=str)
def test_seen(network, check):
    check.see(network)
