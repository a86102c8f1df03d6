#!/usr/bin/env python3
"""Measures connlimit in alternating pairs against what people would use instead.

Every figure is a ratio (or a difference in bare system calls, instructions or per cent), the median over pairs of runs that alternate on this
machine, with its quartiles. A section that cannot be measured here says why, and the others go on. Called by scripts/bench.
"""
import argparse
import os
import shutil
import subprocess
import sys
import time

import attack
import cost
import growth
import report
from harness import OUT, PAIRS, TMP, NotHere, children, rows

SECTIONS = {section.__name__: section for section in (*cost.SECTIONS, *attack.SECTIONS, *growth.SECTIONS)}
# In namespaces of their own: rules, interfaces, and tables beside which there are no others.
APART = {"nftables": "-n", "refusals": "-n", "big": "-nipf --mount-proc --kill-child"}


def in_namespace(name):
    """What is measured in namespaces is read back."""
    result = subprocess.run(["unshare", *APART[name].split(), "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, __file__, name],
                            env=dict(os.environ, IN_NAMESPACE="1", OUT=TMP), check=False)
    if not os.path.exists(f"{TMP}/results.csv"):
        raise NotHere(f"no measurement from a namespace (status {result.returncode}; it takes root)")
    rows.extend(report.read(f"{TMP}/results.csv"))
    os.remove(f"{TMP}/results.csv")
    if result.returncode != 0:
        raise NotHere("the rest of it")


def measure(name):
    apart = name in APART and os.environ.get("IN_NAMESPACE") != "1"
    began = time.monotonic()
    try:
        if apart:
            in_namespace(name)
        else:
            SECTIONS[name]()
    except (NotHere, OSError, ValueError, IndexError, AssertionError, subprocess.SubprocessError) as error:
        print(f"{name:10} NOT MEASURED: {error}", flush=True)
        return False
    finally:
        for child in list(children):
            child.terminate()  # not killed: nginx's workers would live on
            children.remove(child)
    if os.environ.get("IN_NAMESPACE") != "1":
        print(f"{name:10} took {time.monotonic() - began:.0f} s", flush=True)
    return True


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--readme", action="store_true", help="put the results into tests/bench/README.md, and rows of them into README.md")
    arguments.add_argument("section", nargs="*", help="of: " + " ".join(SECTIONS) + "; all by default")
    chosen = arguments.parse_args()
    unknown = [name for name in chosen.section if name not in SECTIONS]
    if unknown:
        arguments.error(f"no such section: {' '.join(unknown)}")
    try:
        left_out = [name for name in chosen.section or SECTIONS if not measure(name)]
    finally:
        shutil.rmtree(TMP, ignore_errors=True)
    if os.environ.get("IN_NAMESPACE") == "1":
        report.write(rows, OUT)
    elif rows:
        everything = rows if not chosen.section else report.merge(rows, OUT)
        report.write(everything, OUT)
        try:
            report.plot(everything, OUT)
        except ImportError as error:
            print(f"no picture: {error}")
        if chosen.readme:
            report.readme(everything, PAIRS, OUT)
    if left_out:
        sys.exit("not measured: " + ", ".join(left_out))


if __name__ == "__main__":
    main()
