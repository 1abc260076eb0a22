"""Pseudo-terminals, and commands that are run on them, in files and in a shell."""
import os
import re
import subprocess
import sys
import threading

from forked import program

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
COMMAND = [sys.executable, "-m", "fastrnn"]
# what a terminal may get: the progress bar returns to the start of its line
OBEYED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def escaped(text):
    """The text as a terminal should get it, written without the package's pattern."""
    def shown(i):
        code, char = ord(text[i]), text[i]
        if char in "\n\t" or text[i : i + 2] == "\r\n":
            return char
        if code < 0x20 or 0x7f <= code < 0xa0:
            return "\\x" + hex(code)[2:].zfill(2)
        return "\\u" + hex(code)[2:] if 0x202a <= code <= 0x202e or 0x2066 <= code <= 0x2069 \
            else char
    return "".join(map(shown, range(len(text))))


class Terminal:
    """A pseudo-terminal that passes on bytes as they are; `text` is what has come to it."""

    def __init__(self):
        import termios
        self.screen, self.end = os.openpty()
        termios.tcsetwinsize(self.end, (24, 80))
        modes = termios.tcgetattr(self.end)
        modes[1] &= ~termios.OPOST
        termios.tcsetattr(self.end, termios.TCSANOW, modes)
        self._parts = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        try:
            while part := os.read(self.screen, 65536):
                self._parts.append(part)
        except OSError:  # EIO: the last program has closed it
            pass

    def close(self):
        """No more is to come; what came."""
        os.close(self.end)
        self._reader.join(10)
        os.close(self.screen)
        return self.text

    @property
    def text(self):
        return b"".join(self._parts).decode()


def on_terminals(*arguments):
    """Exit code, standard output and standard error of a command, each a terminal of its own."""
    out, err = Terminal(), Terminal()
    code = program(None, *arguments, stdout=os.ttyname(out.end), stderr=os.ttyname(err.end),
                   environment=ENVIRONMENT).returncode
    return code, out.close(), err.close()


def in_files(*arguments):
    done = program(None, *arguments, environment=ENVIRONMENT)
    return done.returncode, done.stdout, done.stderr


def in_shell(redirections, *arguments):
    """A command with redirections, run by a shell."""
    done = subprocess.run(["bash", "-c", f'"$@" {redirections}', "bash", *COMMAND,
                           *map(str, arguments)], capture_output=True, env=ENVIRONMENT, timeout=100)
    return done.returncode, done.stdout.decode(), done.stderr.decode()
