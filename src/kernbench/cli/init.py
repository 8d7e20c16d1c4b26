"""``kernbench init``: a folder to start from: a topology, and a bench with its kernel."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from kernbench.cli.files import STDOUT, require_writable, write_json, write_text
from kernbench.cli.options import Debug, JsonTarget
from kernbench.errors import UsageError
from kernbench.files import make_folder, together

SCHEMA = "kernbench.init/1"
# The bench is stored as text, so that no tool takes it for a module of the package.
TEMPLATES = {"topology.yaml": "topology.yaml", "my_bench.py": "my_bench.py.txt"}
EXAMPLES = """\b
Examples:
  kernbench init my_accelerator
  kernbench run my_accelerator/my_bench.py --topology my_accelerator/topology.yaml
"""


def command(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="Where to; it is made if it does not exist.")
    ] = ".",
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")] = False,
    json: JsonTarget = None,
    debug: Debug = False,
) -> None:
    """Copy a topology, a kernel and a bench to start from."""
    require_writable(json)
    copies = {name: Path(folder) / name for name in TEMPLATES}
    existing = [str(path) for path in copies.values() if path.exists()]
    if existing and not force:
        raise UsageError(
            f"{', '.join(existing)}: exists already; choose another folder, or overwrite with --force"
        )
    templates = files("kernbench.cli") / "templates"
    with together():
        make_folder(Path(folder))
        for name, path in copies.items():
            write_text(path, (templates / TEMPLATES[name]).read_text(encoding="utf-8"))
        if json is not None:
            from kernbench.config.load import load_config
            from kernbench.config.plain import config_sha256

            with as_file(templates / TEMPLATES["topology.yaml"]) as topology:
                sha256 = config_sha256(load_config(topology))
            write_json(
                json,
                {"schema": SCHEMA, "config_sha256": sha256, "files": [str(path) for path in copies.values()]},
            )
    if json != STDOUT:
        for path in copies.values():
            print(f"wrote {path}")
        print(f"next: kernbench run {copies['my_bench.py']} --topology {copies['topology.yaml']}")
