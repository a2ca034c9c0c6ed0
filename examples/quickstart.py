# ruff: noqa: T201
"""Jacobians of a small network: what they look like, and why they were computed so."""

import torch

import jacengine

torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Linear(8, 64), torch.nn.Tanh(), torch.nn.Linear(64, 3)
)
x = torch.randn(256, 8)  # 256 independent samples

J = jacengine.auto(model, x, batch_dim=0)
print("by the inputs:", tuple(J.shape))

by_name = jacengine.auto(model, x, wrt="params", batch_dim=0)
print("by the weights:", {name: tuple(block.shape) for name, block in by_name.items()})

plan = jacengine.plan(model, x, batch_dim=0)  # choose once ...
print("again:", tuple(plan(torch.randn(256, 8)).shape))  # ... compute often
print(plan.explain())
