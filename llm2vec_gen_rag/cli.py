"""The command line: `llm2vec-gen-rag COMMAND`, as `search`, `gate calibrate` or `eval`.

Each command is a module of `commands/` that imports torch only when it runs, so that help is
instant.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from llm2vec_gen_rag.commands import (
    adopt,
    delete,
    demo,
    dump,
    embed,
    evaluate,
    explain,
    export_model,
    gate,
    index,
    listing,
    search,
    train,
)
from llm2vec_gen_rag.commands.output import printable
from llm2vec_gen_rag.errors import LLM2VecGenError

DESCRIPTION = """\
Search by the answer: a frozen LLM with a few learned response tokens embeds what it
would answer, in one forward pass. Two models are bundled and work offline: "smollm2"
for texts of your own, on an LLM of 98 MB that a package installs, and "almanac", which
knows its own tables only."""

EPILOG = """\
begin here:
  llm2vec-gen-rag demo
  llm2vec-gen-rag index notes/ && llm2vec-gen-rag search "what do I owe the plumber"

Results go to standard output; progress, warnings and errors to standard error. With
--json the output is one JSON document (of embed: one a line).
exit codes: 0 done; 1 refused, with one line that begins with "error:"; 2 wrong usage;
130 interrupted with Ctrl-C. A traceback is a bug in this program: please report it."""

REFUSED, INTERRUPTED = 1, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments after the program's name; None takes those of the process.

    Returns:
        The exit code: 0, 1 or 130, as documented by `--help`.

    Raises:
        SystemExit: after `--help` and `--version` (code 0), or if the usage is wrong (code 2).
        ValueError: if another library raised it: that is a bug, whose traceback is wanted.
    """
    arguments = build_parser().parse_args(argv)
    arguments.argv = sys.argv[1:] if argv is None else list(argv)
    _survive_narrow_encodings()
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        _discard_output()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except (LLM2VecGenError, OSError) as error:
        return _refuse(error)
    except ValueError as error:
        if not _raised_by_this_package(error):
            raise
        return _refuse(error)
    return 0


class Parser(argparse.ArgumentParser):
    """A parser whose errors show arguments, such as names of files, in printable characters."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong with it, and exit with code 2."""
        super().error(printable(message))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(
        prog="llm2vec-gen-rag",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    installed = version("llm2vec-gen-rag")
    parser.add_argument("--version", action="version", version=f"%(prog)s {installed}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (
        *(demo, index, search, listing, delete, dump, adopt),
        *(explain, gate, embed, train, evaluate, export_model),
    ):
        command.add_parser(subparsers)
    return parser


def _refuse(error: Exception) -> int:
    """Print the error on one line, and return the exit code for it."""
    sys.stderr.write("error: " + printable(" ".join(str(error).split("\n"))) + "\n")
    return REFUSED


def _raised_by_this_package(error: ValueError) -> bool:
    """Return whether it is about an argument: one from inside another library is a bug."""
    *_, (innermost, _line) = traceback.walk_tb(error.__traceback__)
    return str(innermost.f_globals.get("__name__")).startswith("llm2vec_gen_rag")


def _survive_narrow_encodings() -> None:
    """Print characters that a terminal's encoding lacks as escapes, rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Discard what is still buffered, or Python reports the closed pipe at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
