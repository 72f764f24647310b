"""``python -m zfcuda`` is the ``zfcuda`` command."""

import sys

from zfcuda.cli import main

sys.exit(main())
