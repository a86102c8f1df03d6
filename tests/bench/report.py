"""What comes of the measurements: a CSV, Markdown, a picture, the block in tests/bench/README.md and rows of it in README.md."""
import csv
import os
import platform
import re
import shutil


def read(path):
    with open(path, encoding="ascii", newline="") as file:
        return [{k: float(v) if k in ("median", "low", "high") else v for k, v in row.items()} for row in csv.DictReader(file)]


def merge(rows, out):
    """What was measured now, and what earlier runs measured of the rest."""
    path = f"{out}/results.csv"
    earlier = read(path) if os.path.exists(path) else []
    now = {row["what"]: row for row in rows}
    merged = [now.pop(row["what"], row) for row in earlier]
    return merged + list(now.values())


def write(rows, out):
    if not rows:
        return
    with open(f"{out}/results.csv", "w", encoding="ascii", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    with open(f"{out}/results.md", "w", encoding="ascii") as file:
        file.write(table(rows))


def value(row):
    unit = "" if row["unit"] == "x" else " " + row["unit"]
    spread = "" if row["low"] == row["high"] else f" ({row['low']:.3g} .. {row['high']:.3g})"
    return f"{row['median']:.3g}{unit}{spread}" if row["median"] < 1000 else f"{row['median']:.0f}{unit}{spread}"


def table(rows):
    lines = "".join(f"| {row['what']} | {value(row)} | {row['goal']} |\n" for row in rows)
    return "| what | median (quartiles) | goal |\n|---|---|---|\n" + lines


def plot(rows, out):
    import matplotlib  # pylint: disable=import-outside-toplevel
    matplotlib.use("Agg")
    from matplotlib import pyplot  # pylint: disable=import-outside-toplevel

    shown = [row for row in rows if row["unit"] == "x" and "CPU" in row["what"]]
    if not shown:
        return
    _, axes = pyplot.subplots(figsize=(11, 0.42 * len(shown) + 1.2))
    places = range(len(shown))[::-1]
    medians = [row["median"] for row in shown]
    spread = [[row["median"] - row["low"] for row in shown], [row["high"] - row["median"] for row in shown]]
    colours = ["#2a7" if "connlimit" in row["what"] or row["group"] == "refusal" else "#999" for row in shown]
    axes.barh(list(places), medians, xerr=spread, color=colours, capsize=3)
    axes.set_yticks(list(places))
    axes.set_yticklabels([row["what"] for row in shown], fontsize=8)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_title("CPU over bare: medians of alternating pairs, and quartiles", loc="right", fontsize=9)
    pyplot.tight_layout()
    pyplot.savefig(f"{out}/results.png", dpi=120)


def system():
    with open("/etc/os-release", encoding="utf-8") as file:
        name = re.search(r'^PRETTY_NAME="?([^"\n]*)', file.read(), re.MULTILINE).group(1)
    return f"{name}, Linux {platform.release()}, {platform.machine()}, {os.cpu_count()} cores"


def readme(rows, pairs, out):
    here = os.path.dirname(os.path.abspath(__file__))
    top = os.path.realpath(f"{here}/../..")
    path = f"{here}/README.md"
    with open(path, encoding="utf-8") as file:
        text = file.read()
    left_out = re.compile(r"requests in a second|that does not concern us|the same in instructions|instructions of admit")
    shown = [row for row in rows if not left_out.search(row["what"])]
    block = f"Medians and quartiles of up to {pairs} alternating pairs ({system()}):\n\n" + table(shown)
    begin, end = "<!-- measurements -->\n", "<!-- /measurements -->"
    if begin not in text or end not in text:
        raise SystemExit("tests/bench/README.md has no block of measurements")
    before, rest = text.split(begin, 1)
    after = rest.split(end, 1)[1]
    picture = f"{out}/results.png"
    if os.path.exists(picture):
        shutil.copyfile(picture, f"{top}/scripts/measurements.png")
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + begin + block + end + after)
    # The rows that the README at the top has, too.
    fresh = {line.split(" | ")[0]: line for line in block.splitlines() if line.startswith("| ")}
    with open(f"{top}/README.md", encoding="utf-8") as file:
        lines = file.read().splitlines()
    with open(f"{top}/README.md", "w", encoding="utf-8") as file:
        file.writelines(fresh.get(line.split(" | ")[0], line) + "\n" for line in lines)
