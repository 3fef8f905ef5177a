"""From samples to one table, and to JSON."""

import json
import os
import platform
import statistics
from pathlib import Path

COLUMNS = ("work", "collector", "samples", "wall ms", "CPU ms", "CPU ns per unit", "lowest-highest", "CPU ratio", "peak MiB", "memory ratio")


def summarise(samples, memory):
    summary = []
    for work, name in dict.fromkeys((sample["work"], sample["contestant"]) for sample in samples):
        own = [sample for sample in samples if (sample["work"], sample["contestant"]) == (work, name)]
        per_unit = [sample["cpu_ns_per_unit"] for sample in own]
        row = {key: statistics.median(sample[key] for sample in own) for key in ("wall_ns", "cpu_ns", "cpu_ns_per_unit")}
        row |= {"lowest": min(per_unit), "highest": max(per_unit), "peak_bytes": memory.get((work, name))}
        summary.append({"work": work, "contestant": name, "samples": len(own), **row})
    works = list(dict.fromkeys(sample["work"] for sample in samples))
    return sorted(summary, key=lambda row: (works.index(row["work"]), row["cpu_ns_per_unit"]))


def base_of(rows):
    """Ratios are to the best of ours, or to the best of all where none of ours is."""
    ours = [row for row in rows if row["contestant"].startswith("ours")]
    return (ours or rows)[0]


def table(summary):
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    for row in summary:
        base = base_of([other for other in summary if other["work"] == row["work"]])
        memory, base_memory = row["peak_bytes"], base["peak_bytes"]
        cells = (
            row["work"],
            row["contestant"],
            row["samples"],
            f"{row['wall_ns'] / 1e6:.0f}",
            f"{row['cpu_ns'] / 1e6:.0f}",
            f"{row['cpu_ns_per_unit']:.1f}",
            f"{row['lowest']:.1f}-{row['highest']:.1f}",
            f"{row['cpu_ns_per_unit'] / base['cpu_ns_per_unit']:.2f}",
            f"{memory / 2**20:.0f}" if memory else "-",
            f"{memory / base_memory:.2f}" if memory and base_memory else "-",
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def machine():
    cpu = next((line.split(":")[1].strip() for line in read("/proc/cpuinfo").splitlines() if line.startswith("model name")), "unknown")
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "huge pages": read("/sys/kernel/mm/transparent_hugepage/enabled").strip(),
        "load": " ".join(read("/proc/loadavg").split()[:3]),
    }


def read(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def write(path, plan, samples, summary, skipped):
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(), **plan, "skipped": skipped, "summary": summary, "samples": samples}
    path.write_text(json.dumps(report, indent=1) + "\n")
