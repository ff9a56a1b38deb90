"""``python -m truthtag`` is the command ``truthtag``."""

from __future__ import annotations

import sys

from truthtag.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
