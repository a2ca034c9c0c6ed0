"""Rewrites the generated sections of all pages: `python -m docs.generate`."""

from docs.generate.generators import GENERATORS
from docs.generate.sections import pages, updated

for page in pages():
    text = page.read_text(encoding="utf-8")
    if (new := updated(text, GENERATORS)) != text:
        page.write_text(new, encoding="utf-8")
