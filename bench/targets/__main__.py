"""`python -m jacengine.bench.targets`."""

from jacengine.bench.targets.command import main

main()
