"""What the terminal shows of a run: prose and a bar (lunar.plan.watch) instead of Snakemake's own lines."""

import logging

from snakemake.logging import logger
from snakemake_interface_executor_plugins.settings import ExecMode


def take_over():
    """Put our screen in the place of Snakemake's; None for a job, with --verbose or with a logger of the user's own."""
    plain = next((each for each in logger.handlers if each.name == "DefaultStreamHandler"), None)
    settings = workflow.output_settings
    if plain is None or workflow.exec_mode != ExecMode.DEFAULT or settings.verbose or settings.debug_dag:
        return None
    log = next((Path(each.baseFilename) for each in logger.handlers if isinstance(each, logging.FileHandler)), None)
    quiet = any(each.name in ("ALL", "PROGRESS", "RULES") for each in settings.quiet or ())
    asked = watch.Asked(settings.dryrun, settings.printshellcmds, quiet, settings.nocolor)
    screen = watch.Screen(plain, log, asked)
    # A cluster's job numbers are in Snakemake's own lines; a touched file takes no time.
    screen.is_for = lambda: workflow.local_exec and not workflow.touch
    logger.removeHandler(plain)
    logger.addHandler(screen)
    return screen


SCREEN = take_over()
