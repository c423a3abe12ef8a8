"""``python -m headfield.cli``, for when the script is not on the path."""

import sys

from headfield.cli import main

sys.exit(main())
