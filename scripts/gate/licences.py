"""The licences of everything we link, against the list in deny.toml.

    licences.py [REPOSITORY]

It needs nothing but cargo, so it runs on a bare machine; cargo-deny reads the same list where it
is installed.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

TOKEN = re.compile(r"\s*(\(|\)|[A-Za-z0-9.+-]+|/)")


def satisfied(expression, allowed):
    """Whether an SPDX expression can be met by allowed licences alone."""
    tokens = [token for token in TOKEN.findall(expression)]
    verdict, rest = _either(tokens, allowed)
    if rest:
        raise ValueError(f"unreadable licence {expression!r}")
    return verdict


def _either(tokens, allowed):
    verdict, tokens = _both(tokens, allowed)
    # A slash is the way of old manifests to say OR.
    while tokens and tokens[0] in ("OR", "/"):
        other, tokens = _both(tokens[1:], allowed)
        verdict = verdict or other
    return verdict, tokens


def _both(tokens, allowed):
    verdict, tokens = _one(tokens, allowed)
    while tokens and tokens[0] == "AND":
        other, tokens = _one(tokens[1:], allowed)
        verdict = verdict and other
    return verdict, tokens


def _one(tokens, allowed):
    if not tokens:
        raise ValueError("a licence expression ends too early")
    if tokens[0] == "(":
        verdict, tokens = _either(tokens[1:], allowed)
        if not tokens or tokens[0] != ")":
            raise ValueError("a bracket is left open")
        return verdict, tokens[1:]
    name, tokens = tokens[0], tokens[1:]
    if tokens[:1] == ["WITH"]:
        name, tokens = f"{name} WITH {tokens[1]}", tokens[2:]
    return name in allowed, tokens


def main(repository):
    """Checks every package of the lock file; returns the exit code."""
    repository = Path(repository).resolve()
    allowed = set(tomllib.loads((repository / "deny.toml").read_text())["licenses"]["allow"])
    argv = ["cargo", "metadata", "--format-version", "1", "--locked"]
    done = subprocess.run(argv, cwd=repository, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr.strip())
        return 1
    packages = json.loads(done.stdout)["packages"]
    bad = 0
    for package in packages:
        licence = package["license"]
        if licence and satisfied(licence, allowed):
            continue
        bad += 1
        print(f"{package['name']} {package['version']}: {licence or 'no licence stated'}")
    print(f"{len(packages)} packages, {bad} with a licence that deny.toml does not allow")
    return 1 if bad or not packages else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]))
