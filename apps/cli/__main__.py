"""``python -m apps.cli`` is ``workbench``."""

from __future__ import annotations

import sys

from apps.cli.main import main

sys.exit(main())
