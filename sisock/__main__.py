"""``python -m sisock`` is the command ``sisock``."""

from sisock.cli import main

main()
