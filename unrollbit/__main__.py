"""``python -m unrollbit``."""

import sys

from unrollbit.cli import main

if __name__ == "__main__":
    sys.exit(main())
