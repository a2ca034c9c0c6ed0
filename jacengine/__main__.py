"""`python -m jacengine` is `jacengine`."""

from __future__ import annotations

from jacengine.commands import main

if __name__ == "__main__":
    main(prog_name="jacengine")
