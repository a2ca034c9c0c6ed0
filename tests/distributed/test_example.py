"""The example prints the same variances on one process and on two."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "examples" / "sharded_laplace.py"


def printed(*launcher: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, *launcher, str(PROGRAM)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    return done.stdout.splitlines()


def test_one_and_two_processes_print_the_same() -> None:
    run = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    one = printed()
    assert len(one) == 5
    assert all(line.startswith("variance at") for line in one)
    assert printed(*run) == one
