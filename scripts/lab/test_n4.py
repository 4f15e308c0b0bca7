"""N4 on one node: VLAN access ports."""

import pytest

import n4


@pytest.fixture(scope="module")
def network(lab, binaries):
    return n4.AccessPorts(lab, binaries)


@pytest.mark.parametrize("check", n4.CHECKS, ids=str)
def test_seen(network, check):
    check.see(network)
