"""Functions with which torch itself has killed the process; each in a child process."""

import subprocess
import sys

SCALED_CONSTANTS = {
    "add": "torch.add(x, c, alpha=2)",
    "add_to_constant": "torch.add(c, x, alpha=2)",
    "sub": "torch.sub(x, c, alpha=2)",
    "addmv": "torch.addmv(c, torch.ones(3, 3), x, beta=0.5)",
    "addmm": "torch.addmm(c, x[None], torch.ones(3, 3), beta=2)[0]",
    "addcmul": "torch.addcmul(c, x, c, value=0.5)",
    "index_add": "x.index_add(0, torch.tensor([1]), c[:1], alpha=2)",
}

SCRIPT = """
import torch, jacengine
x, c = torch.tensor([0.3, -1.2, 2.0]), torch.tensor([1.0, 2.0, 3.0])
functions = {{{functions}}}
for name, fn in functions.items():
    print(name, flush=True)
    expected = torch.autograd.functional.jacobian(fn, x)
    torch.testing.assert_close(jacengine.auto(fn, x), expected)
    torch.testing.assert_close(
        jacengine.laplacian(lambda x: fn(x).exp(), x, batch_dim=None),
        (fn(x).exp()[:, None] * expected.square()).sum(1),
    )
"""
"""The last name that is printed is that of the function that ends the process."""


def test_scaled_constants() -> None:
    functions = (f"{k!r}: lambda x: {v}" for k, v in SCALED_CONSTANTS.items())
    script = SCRIPT.format(functions=", ".join(functions))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == [*SCALED_CONSTANTS]
