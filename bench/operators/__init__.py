"""Every operator of torch's own samples, differentiated and compared.

    python -m jacengine.bench.operators --out reports/operators

The samples are those that torch tests its operators with (`OpInfo`): first and second
order, each input alone and all together, each operator in a process of its own, so that
one that crashes or hangs does not end the others.
"""
