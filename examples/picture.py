"""Draw the parameter Jacobian of a small network, sample by sample."""

import torch

import jacengine

torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Linear(12, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3)
)
x = torch.randn(6, 12)

J = jacengine.auto(model, x, wrt="params", batch_dim=0)
figure = jacengine.plot(J, batch_dim=0, title="d output / d parameters")
figure.savefig("jacobian.png", dpi=200)
