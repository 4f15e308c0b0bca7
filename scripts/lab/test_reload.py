"""Reloads under traffic, shorter than in the soak, and files that are refused."""

import pytest

import n1
import reload


@pytest.fixture(scope="module")
def network(lab, binaries):
    return n1.N1(lab, binaries, change=lambda document: document)


def test_changes_are_not_felt(network):
    print(reload.expect_unfelt(reload.under_load(network, seconds=15, reloads=25)))


def test_broken_files_are_refused(network):
    print(reload.refuse_broken(network, count=20))


def test_the_network_works_after_all_that(network):
    for check in n1.CHECKS[:10]:
        check.see(network)
