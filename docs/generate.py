"""Writes the generated parts of the README: the picture of the state machine, the help text and the demo's output.

python docs/generate.py           rewrite them
python docs/generate.py --check   exit 1 when they are not what the program says today
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
_VARYING = (
    (re.compile(r"\d+\.\d+ s\b"), "… s"),
    (re.compile(r"sha256 [0-9a-f]{64}"), "sha256 …"),
    (re.compile(r"\S*/runs/"), "runs/"),
    (re.compile(r"-[0-9a-f]{10}-(?=\d)"), "-…-"),
)


def picture() -> str:
    """The state machine as LangGraph draws it, in Mermaid."""
    from polyclinic.agents.graph import build_graph

    drawn = build_graph().get_graph().draw_mermaid()
    lines = [line for line in drawn.splitlines() if line.strip() and not line.startswith(("---", "config", "  "))]
    body = [line.strip().replace("&nbsp;", " ") for line in lines if not line.strip().startswith("classDef")]
    return "```mermaid\n" + "\n".join(body) + "\n```"


def command_output(*words: str, cwd: Path = ROOT) -> str:
    """What a command prints, with the parts that differ from run to run blanked."""
    program = Path(sys.executable).with_name("polyclinic")
    done = subprocess.run([program, *words], capture_output=True, text=True, cwd=cwd, check=True)
    text = done.stdout
    for pattern, blank in _VARYING:
        text = pattern.sub(blank, text)
    return "```text\n" + "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n```"


def parts() -> dict[str, str]:
    """Every generated part by the name of its markers."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        demo = command_output("ask", "examples/retina.yaml", "--runs", str(runs))
    return {"graph": picture(), "help": command_output("--help"), "demo": demo}


def main() -> int:
    before = README.read_text(encoding="utf-8")
    after = before
    for name, body in parts().items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
        if not marked.search(after):
            print(f"README.md has no place for the part {name!r}", file=sys.stderr)
            return 1
        after = marked.sub(lambda found, body=body: f"{found[1]}{body}\n{found[2]}", after)
    if "--check" in sys.argv[1:]:
        if before != after:
            print("README.md is not up to date; type: make docs", file=sys.stderr)
        return int(before != after)
    README.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
