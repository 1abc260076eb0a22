"""python -m fastrnn"""

import sys

from .cli import main

sys.exit(main())
