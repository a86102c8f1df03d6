"""What comes of the measurements: a CSV, Markdown, a picture, the block in tests/bench/README.md and rows of it in README.md."""
import csv
import glob
import os
import platform
import re
import shutil
import subprocess

from harness import QUESTIONS, met

VERSIONS = (("connlimit", ["git", "describe", "--always", "--dirty"]), ("nginx", ["/usr/sbin/nginx", "-v"]), ("haproxy", ["haproxy", "-v"]),
            ("nftables", ["nft", "--version"]), ("Redis", ["redis-server", "--version"]),
            ("PostgreSQL", [*sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))[-1:], "--version"]), ("vsftpd", ["vsftpd", "-v"]),
            ("OpenSSH", ["ssh", "-V"]), ("socat", ["socat", "-V"]))


def read(path):
    with open(path, encoding="ascii", newline="") as file:
        return [{k: float(v) if k in ("median", "low", "high") else v for k, v in row.items()} for row in csv.DictReader(file)]


def merge(rows, out):
    """What was measured now, and what earlier runs measured of the rest."""
    path = f"{out}/results.csv"
    earlier = read(path) if os.path.exists(path) else []
    now = {row["what"]: row for row in rows}
    merged = [now.pop(row["what"], row) for row in earlier if row.get("question") in QUESTIONS]
    return merged + list(now.values())


def write(rows, out):
    if not rows:
        return
    with open(f"{out}/results.csv", "w", encoding="ascii", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    with open(f"{out}/results.md", "w", encoding="utf-8") as file:
        file.write(system() + "\n\n" + by_question(rows))


def value(row):
    unit = "" if row["unit"] == "x" else " " + row["unit"]
    spread = "" if row["low"] == row["high"] else f" ({row['low']:.3g} .. {row['high']:.3g})"
    return f"{row['median']:.3g}{unit}{spread}" if row["median"] < 1000 else f"{row['median']:.0f}{unit}{spread}"


def goal(row):
    return row["goal"] if met(row["median"], row["goal"]) else f"**{row['goal']} missed**"


def table(rows):
    lines = "".join(f"| {row['what']} | {value(row)} | {goal(row)} |\n" for row in rows)
    return "| what | median (quartiles) | goal |\n|---|---|---|\n" + lines


def by_question(rows):
    parts = ((question, [row for row in rows if row["question"] == question]) for question in QUESTIONS)
    return "\n".join(f"**{question}**\n\n{table(of_it)}" for question, of_it in parts if of_it)


def plot(rows, out):
    import matplotlib  # pylint: disable=import-outside-toplevel
    matplotlib.use("Agg")
    from matplotlib import pyplot  # pylint: disable=import-outside-toplevel

    shown = [row for row in rows if row["unit"] == "x" and "CPU" in row["what"]]
    if not shown:
        return
    _, axes = pyplot.subplots(figsize=(11, 0.36 * len(shown) + 1.2))
    places = range(len(shown))[::-1]
    medians = [row["median"] for row in shown]
    spread = [[row["median"] - row["low"] for row in shown], [row["high"] - row["median"] for row in shown]]
    colours = ["#2a7" if "connlimit" in row["what"] else "#999" for row in shown]
    axes.barh(list(places), medians, xerr=spread, color=colours, capsize=3)
    axes.set_yticks(list(places))
    axes.set_yticklabels([row["what"] for row in shown], fontsize=8)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_title("CPU over bare, or over who does the same: medians of alternating pairs, and quartiles", loc="right", fontsize=9)
    pyplot.tight_layout()
    pyplot.savefig(f"{out}/results.png", dpi=110)


def version(command):
    """The first number with a dot in it, or a commit, in what a command says of itself."""
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError:
        return None
    found = re.search(r"\d+\.\d+[\w.]*", said.stdout + said.stderr) if command[0] != "git" else re.match(r"\S+", said.stdout)
    return found.group(0) if found else None


def system():
    with open("/etc/os-release", encoding="utf-8") as file:
        name = re.search(r'^PRETTY_NAME="?([^"\n]*)', file.read(), re.MULTILINE).group(1)
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"^model name\s*: (.*)$", file.read(), re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    versions = ((name, version(command)) for name, command in VERSIONS)
    return (f"{name}, Linux {platform.release()}, {platform.machine()}, {os.cpu_count()} cores ({model.group(1) if model else 'unknown'}), "
            f"{memory:.0f} GiB, glibc {platform.libc_ver()[1]}; " + ", ".join(f"{name} {number}" for name, number in versions if number))


def put_between(path, mark, block):
    """Puts a block between <!-- MARK --> and <!-- /MARK --> of a file."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if begin not in text or end not in text:
        raise SystemExit(f"{path} has no block '{mark}'")
    before, rest = text.split(begin, 1)
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + begin + block + end + rest.split(end, 1)[1])


def readme(rows, pairs, out):
    here = os.path.dirname(os.path.abspath(__file__))
    top = os.path.realpath(f"{here}/../..")
    left_out = re.compile(r"that does not concern us|the same in instructions")
    shown = [row for row in rows if not left_out.search(row["what"])]
    block = f"Medians and quartiles of up to {pairs} alternating pairs ({system()}).\n\n" + by_question(shown)
    put_between(f"{here}/README.md", "measurements", block)
    put_between(f"{top}/README.md", "some measurements", table([row for question in QUESTIONS for row in rows
                                                               if row["question"] == question and row["top"]]))
    picture = f"{out}/results.png"
    if os.path.exists(picture):
        shutil.copyfile(picture, f"{top}/scripts/measurements.png")
