"""UTF-8 whatever the locale, and printing that cannot fail. Standard library only."""

import codecs
import locale
import os
import sys


def use_utf8() -> None:
    """Make this command's file names, files and output UTF-8, and replace what the terminal cannot show by `?`.

    Under another locale (`LC_ALL=C`) a name that is not ASCII cannot even be printed, and a picture's folder would have
    another name. Only the interpreter's start settles this: the command is started again in Python's UTF-8 mode. The
    processes that it starts inherit both.
    """
    is_utf8 = codecs.lookup(locale.getpreferredencoding(False)).name == "utf-8"
    if not is_utf8 and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, sys.orig_argv)
    os.environ["PYTHONIOENCODING"] = os.environ.get("PYTHONIOENCODING", "").partition(":")[0] + ":replace"
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")
