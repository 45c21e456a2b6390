"""``python -m sisock`` is the command ``sisock``."""

import os
import signal

# Until a program has taken over the signals, whoever stops it has stopped nothing that needs to be ended well.
for _number in (signal.SIGINT, signal.SIGTERM):
    if signal.getsignal(_number) is not signal.SIG_IGN:
        signal.signal(_number, lambda *_: os._exit(0))

from sisock.commands.cli import main  # noqa: E402 - it takes a while

if __name__ == "__main__":
    main()
