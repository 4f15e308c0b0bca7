"""N1: what NETWORKS says must be seen, over IPv4."""

import pytest

import n1


@pytest.fixture(scope="module")
def network(lab, binaries):
    return n1.N1(lab, binaries)


@pytest.mark.parametrize("check", n1.CHECKS, ids=str)
def test_seen(network, check):
    check.see(network)
