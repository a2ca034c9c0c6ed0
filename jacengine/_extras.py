"""Optional dependencies, and the error that says how to install them."""

from __future__ import annotations

from importlib import import_module

from jacengine.errors import MissingExtraError

REPORT = ("jinja2", "matplotlib", "psutil")
"""The modules of the extra `report`."""


def require_report(purpose: str, modules: tuple[str, ...] = REPORT) -> None:
    """Import modules of the extra `report`, before any work is done that needs them.

    Args:
        purpose: What needs them, as the subject of a sentence.
        modules: The modules.

    Raises:
        MissingExtraError: One of them cannot be imported.
    """
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            raise MissingExtraError(
                f"{purpose} needs {module}, which cannot be imported ({error}). "
                "Install it with: pip install 'jacengine[report]'"
            ) from error
