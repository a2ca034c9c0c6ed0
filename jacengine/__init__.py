"""Jacobians in PyTorch by the fastest method that is right and fits.

>>> import torch, jacengine
>>> model = torch.nn.Linear(3, 2)
>>> jacengine.auto(model, torch.randn(5, 3), batch_dim=0).shape
torch.Size([5, 2, 3])
"""

import lazy_loader  # pyright: ignore[reportMissingTypeStubs]

# Names and their modules are listed in `__init__.pyi`, for type checkers too. A name
# is loaded when it is first used, so that the import costs next to nothing.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
