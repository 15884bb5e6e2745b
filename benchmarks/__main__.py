"""This project beside its peers, measured on one machine: minimum and median.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks [sampling] [trl] [visitors]

prints the tables and writes results.json, a part at a time; without a part, all of them. Parts that are not
asked for stay as they were measured last, each with the machine that it was measured on.
"""

import argparse
import importlib.metadata
import importlib.util
import os
import platform

import torch

from benchmarks import beside_trl, sampling, visitors
from benchmarks.report import read, table, write

PARTS = {  # what measures it, and the packages that it needs
    "sampling": (sampling.measure, ("transformers",)),
    "trl": (beside_trl.measure, ("transformers", "trl")),
    "visitors": (visitors.measure, ()),
}


def machine(packages: tuple[str, ...]) -> dict:
    versions = {name: importlib.metadata.version(name) for name in ("torch", *packages)}
    return {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "kind": platform.machine(),
        **versions,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks", description="This project beside its peers.")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; none is all of them")
    asked = parser.parse_args(arguments).parts or list(PARTS)
    if unknown := [part for part in asked if part not in PARTS]:
        parser.error(f"unknown part {unknown[0]!r}; allowed: {', '.join(PARTS)}.")
    for package in dict.fromkeys(name for part in asked for name in PARTS[part][1]):
        if importlib.util.find_spec(package) is None:
            parser.error(f"{package} is not installed: pip install -r benchmarks/requirements.txt")
    torch.manual_seed(0)
    for part in asked:
        measure, packages = PARTS[part]
        report = {"machine": machine(packages), **measure()}
        known = read("results") | {part: report}
        write("results", {name: known[name] for name in PARTS if name in known})
        print(f"\n{table(part, report['rows'])}", flush=True)
    if "trl" in asked:
        print("\nIn TRL's favour:", *beside_trl.FAVOUR, sep="\n- ")


if __name__ == "__main__":
    main()
