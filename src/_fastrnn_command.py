"""The start of the command `fastrnn`: Ctrl-C while its libraries load ends it without a word."""

import signal
import sys


def main() -> int:
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from fastrnn.cli import main as run
    signal.signal(signal.SIGINT, before)
    try:
        status = run()
    except KeyboardInterrupt:  # between two lines of what answers the first one
        status = 130
    if before is signal.default_int_handler:  # and once more while they are taken down
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return status


if __name__ == "__main__":
    sys.exit(main())
