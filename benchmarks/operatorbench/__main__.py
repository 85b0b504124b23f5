"""`python benchmarks/operatorbench speed|memory|campaigns`, see benchmarks/README.md."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.operatorbench import campaigns, memory, speed


def loads(text: str) -> list[tuple[float, int]]:
    """`10:300,50:1000` as rates and numbers."""
    return [(float(rate), int(number)) for rate, number in (one.split(":") for one in text.split(","))]


def numbers(text: str) -> list[int]:
    """`1000,5000` as numbers."""
    return [int(one) for one in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(prog="operatorbench", description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    fast = parts.add_parser("speed", help=speed.__doc__)
    fast.add_argument("--loads", type=loads, default="10:300,50:1000", help="rate:number, each beside the floor")
    much = parts.add_parser("memory", help=memory.__doc__)
    much.add_argument("--state", choices=sorted(memory.STATES), default="running")
    much.add_argument("--numbers", type=numbers, default="1000,5000", help="Experiments at which memory is read")
    much.add_argument("--restart", action="store_true", help="start a new process at the end")
    many = parts.add_parser("campaigns", help=campaigns.__doc__)
    many.add_argument("--experiments", type=int, default=15_000)
    many.add_argument("--campaigns", type=int, default=30)
    many.add_argument("--parallelism", type=int, default=100, help="of each campaign")
    options = parser.parse_args()
    if options.part == "speed":
        asyncio.run(speed.measure(options.loads))
    elif options.part == "memory":
        asyncio.run(memory.measure(options.state, options.numbers, options.restart))
    else:
        asyncio.run(campaigns.measure(options.experiments, options.campaigns, options.parallelism))


if __name__ == "__main__":
    main()
