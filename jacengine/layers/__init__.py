"""Layer-wise Jacobians: capture of layer calls, and contraction of what they saw.

*Capture* (`hook_capture`, `parameter_uses`, `sample_axis`) finds each layer's input and
the edges of the autograd graph at its outputs. *Rules* (`rules`, `convolution`, ...)
are pure functions from a layer's input and the cotangents of its output to the blocks
of its parameters.
"""
