"""Runs a program as the terminal's foreground job: ``python3 tools/foreground.py PROGRAM [ARGUMENT ...]``.

A Ctrl-C then reaches the program alone. Otherwise make would get it too, and end with an error although the program
stopped as it should.
"""

import contextlib
import os
import signal
import sys

TERMINAL = 0


def main(command: list[str]) -> None:
    if os.isatty(TERMINAL):
        os.setpgid(0, 0)
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # or the kernel stops who takes the terminal
        with contextlib.suppress(OSError):  # make itself runs in the background
            os.tcsetpgrp(TERMINAL, os.getpgrp())
        signal.signal(signal.SIGTTOU, before)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
