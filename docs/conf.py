"""How `make docs` builds the site: Sphinx with Markdown sources and the theme furo, without anything from a network.

Owns: the settings. Must not know: what the pages say. Every warning is an error, a link that leads nowhere too.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_reference"))

project = "elsewhere"
author = "The elsewhere authors"
copyright = author  # noqa: A001 - Sphinx looks for this name
version = release = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["package"]["version"]

extensions = ["myst_parser", "public_directive"]
exclude_patterns = ["_reference"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
highlight_language = "python"
pygments_style = "friendly"
pygments_dark_style = "native"

nitpicky = True
# Names of other packages are shown and not linked: their documentation is on a network.
nitpick_ignore_regex = [("py:.*", r"(?!elsewhere\.).*")]
maximum_signature_line_length = 90
add_module_names = False
python_display_short_literal_types = True

smartquotes_action = "De"  # dashes, and quotes as they are written

html_theme = "furo"
html_title = f"elsewhere {release}"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_use_index = False
html_domain_indices = False
