"""`ok-ml doctor`: what this machine lacks, and the command that mends each."""

from dataclasses import asdict

import rich_click as click

from ok_ml.cli.context import Settings, command
from ok_ml.cli.output import say, styled, write_json, write_line


@command("doctor", examples=["ok-ml doctor", "ok-ml --env cluster doctor", "ok-ml doctor --json"])
@click.pass_context
def doctor(ctx: click.Context, settings: Settings, *, as_json: bool) -> None:
    """Look for everything that a run needs, and name what mends it.

    Exit code 3 if something is missing. Nothing has to run yet: a machine where everything can be started is healthy.
    """
    from ok_ml.cli.doctor import examine
    from ok_ml.cli.machine import this_machine
    from ok_ml.config.loader import find_root

    diagnosis = examine(this_machine(find_root(settings.root), settings.environment, settings.size))
    findings = diagnosis.findings
    if as_json:
        write_json(
            {
                "healthy": diagnosis.exit_code == 0,
                "seconds": diagnosis.seconds,
                "findings": [asdict(f) for f in findings],
            }
        )
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            write_line(
                f"{styled(finding.state.ljust(4), finding.state)}  {finding.name.ljust(width)}  {finding.message}"
            )
            if finding.remedy and finding.state != "ok":
                write_line(f"{' ' * (width + 8)}-> {finding.remedy}")
        _sum_up([finding.state for finding in findings], diagnosis.seconds)
    ctx.exit(diagnosis.exit_code)


def _sum_up(states: list[str], seconds: float) -> None:
    failed, warned = states.count("fail"), states.count("warn")
    if failed or warned:
        say(f"{failed} missing, {warned} warnings ({seconds:.1f} s).")
    else:
        say(f"Healthy ({seconds:.1f} s).")
