"""Removes what a killed run left behind.

    sweep.py          of every run whose process is gone
    sweep.py RUN      of this run
"""

import sys

import netns

if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(__doc__)
    removed = netns.sweep(*sys.argv[1:])
    if removed:
        print(f"removed {removed} namespaces that an earlier run left behind")
