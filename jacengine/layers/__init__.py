"""Layer by layer: capturing what flows through modules, and contracting it.

*Capture* (`visits`, `accounting`, `samples`) finds each layer's inputs and the edges of
the autograd graph where its outputs leave it. *Rules* (`rules`, `convolution`) are pure
functions from a layer's input and the cotangents of its output to those of its
parameters. The two meet only in the strategy.
"""
