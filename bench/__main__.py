"""Run every benchmark, one after another, each in a process of its own.

`bench.models` is left out: it makes what is shipped, and takes hours.
"""

import subprocess
import sys
from pathlib import Path

for part in sorted(Path(__file__).parent.glob("[a-z]*.py")):
    if part.stem == "models":
        continue
    print(f"\n== {part.stem} ==", flush=True)
    subprocess.run([sys.executable, "-m", f"bench.{part.stem}"], check=False)
