"""What both examples ask of the command line: which service, and by which key."""

import argparse
import os
import sys
from pathlib import Path


def add_service(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url", default=os.environ.get("LIFECYCLE", "http://127.0.0.1:7100"), help="the lifecycle service (default: %(default)s)"
    )  # fmt: skip
    parser.add_argument(
        "--key-file", type=Path, default=Path(".salescycle/key"),
        help="file of the API key, where neither SALESCYCLE_KEY nor KEY is set (default: %(default)s, which `make up` makes)",
    )  # fmt: skip


def key_of(given: argparse.Namespace) -> str:
    """The API key. Never an argument: other users of the machine can read those. Exits where there is none."""
    key = os.environ.get("SALESCYCLE_KEY") or os.environ.get("KEY")
    if key:
        return key
    try:
        text: str = given.key_file.read_text(encoding="ascii")
    except OSError:
        sys.exit(f"No key: set SALESCYCLE_KEY, or start the system with `make up`; there is no {given.key_file}")
    return text.strip()
