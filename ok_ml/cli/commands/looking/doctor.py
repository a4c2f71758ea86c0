"""`ok-ml doctor`: what this machine lacks, and the command that fixes each."""

from dataclasses import asdict

import rich_click as click

from ok_ml.cli.context import Settings, command
from ok_ml.cli.output import say, styled, write_json, write_line


@command("doctor", examples=["ok-ml doctor", "ok-ml --env cluster doctor", "ok-ml doctor --quick --json"])
@click.option("--quick", is_flag=True, help="Do not start a Spark session, which takes some seconds.")
@click.pass_context
def doctor(ctx: click.Context, settings: Settings, *, quick: bool, as_json: bool) -> None:
    """Look for everything that a run needs, and name what fixes it.

    Where nothing is missing, a JVM with a Spark session is started too.

    Exit code 3 if something is missing. Nothing has to run yet: a machine where everything can be started is healthy.
    """
    from ok_ml.cli.examination.diagnosis import examine, with_spark
    from ok_ml.cli.examination.examined_machine import this_machine
    from ok_ml.config.loader import find_root

    machine = this_machine(find_root(settings.root), settings.environment, settings.size)
    diagnosis = examine(machine)
    if not quick:
        diagnosis = with_spark(machine, diagnosis, say)
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
