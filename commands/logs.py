"""Commands on files: session logs, recordings of other programs, what a model sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .options import JSON, LOG, SEED, Args, command, file, limit, option, whole
from .said import counts, print_json, print_lines, say, show

if TYPE_CHECKING:
    from ..streams.importers import Summary
    from ..streams.log import Report


@command("validate", LOG, JSON, example="foretell validate night.jsonl")
def _validate(args: Args) -> int:
    """Check a session log: each line, and what lines say of each other."""
    from ..streams.log import validate

    report = validate(args.log)
    if args.json:
        print_json(
            {
                "file": report.file,
                "ok": report.ok,
                "session": report.header.get("id"),
                "lines": report.lines,
                "duration": report.duration,
                "kinds": dict(report.kinds),
                "results": dict(report.results),
                "errors": [{"line": e.line, "reason": e.reason} for e in report.errors],
                "warnings": report.warnings,
                "stopped": report.stopped,
            }
        )
    else:
        _show_report(report)
    return 0 if report.ok else 1


def _show_report(report: Report) -> None:
    from ..sinks.terminal import counted

    for warning in report.warnings:
        say("warning", warning)
    for error in report.errors:
        say("error", str(error))
    if report.stopped:
        say("error", f"{report.file}: more than can be listed; stopped here")
    if report.ok:
        kinds = ((n, kind) for kind, n in report.kinds.items() if not kind.startswith("~"))
        lines = counted(report.lines, "line")
        show(f"{report.file}: good: {lines}, {report.duration / 60:.1f} minutes")
        show(f"  {counts(kinds)}")
        if report.results:
            show(f"  results: {counts((n, word) for word, n in report.results.most_common())}")


@command(
    "import",
    option(
        "format",
        choices=("fireball", "nwn", "showdown"),
        metavar="FORMAT",
        help="what it is: %(choices)s",
    ),
    option("file", metavar="FILE", help="the recording"),
    option("-o", "--output", type=file, metavar="LOG", required=True, help="session log to write"),
    SEED,
    JSON,
    example="foretell import fireball raw.jsonl -o night.jsonl",
)
def _import(args: Args) -> int:
    """Make a session log of another program's recording."""
    from ..streams.importers import convert_file

    summary = convert_file(args.format, args.file, args.output, args.seed)
    if args.json:
        print_json({name: getattr(summary, name) for name in summary.__slots__})
    else:
        _show_summary(summary)
    return 0


def _show_summary(summary: Summary) -> None:
    from ..sinks.terminal import counted

    minutes = f"{summary.duration / 60:.1f} minutes ({summary.clock} clock)"
    show(f"{summary.path}: {counted(summary.records, 'line')}, {minutes}")
    show(f"  {counts((n, kind) for kind, n in summary.kinds.items())}")
    for test, results in summary.results.items():
        show(f"  {test}: {counts((n, word) for word, n in results.items())}")
    if summary.left_out:
        lines = counted(summary.left_out, "line")
        say("warning", f"left out, for they are out of place in time: {lines}")


@command(
    "partials",
    option("file", nargs="?", metavar="FILE", help="what a model sent; stdin, if there is none"),
    option("--chunk", type=whole, metavar="N", help="read N characters at a time [as they come]"),
    option("--strict", action="store_true", help="take nothing but one JSON value"),
    option(
        "--expect",
        choices=("object", "array", "any"),
        default="any",
        help="what the value is: %(choices)s [%(default)s]",
        metavar="KIND",
    ),
    option("--limit", type=limit, metavar="S", help="what has come after S seconds is the result"),
    example="foretell partials answer.txt --expect object\n"
    "  curl -N https://example.org/answer | foretell partials --limit 10",
)
def _partials(args: Args) -> int:
    """Read JSON as it streams; print each patch, then the value or what is usable of it."""
    from ..errors import ForetellError
    from ..operators.partials import Final, PartialParser
    from ..pieces import pieces, within

    parser = PartialParser(strict=args.strict, expect=args.expect)
    source, reason = pieces(args.file, args.chunk), None
    fault: ForetellError | None = None
    try:
        for piece in source if args.limit is None else within(args.limit, source):
            print_lines(patch.to_json() for patch in parser.feed(piece))
    except TimeoutError:
        reason = f"not complete within {args.limit:g} seconds"
    except ForetellError as error:  # what came before it is the result
        reason, fault = str(error), error
    result = parser.finish(reason=reason)
    print_lines(patch.to_json() for patch in result.patches)
    print_lines([result.to_json()])
    if fault is not None:
        raise fault
    return 0 if isinstance(result, Final) else 1
