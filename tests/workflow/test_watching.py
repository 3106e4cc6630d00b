"""What a person sees of a run, on a terminal and through a pipe, and what the log file keeps."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time

from clone import last_log, run_snakemake

UNTIL = ("--until", "rename_subjects")
PROFILE = "Using workflow specific profile profiles/default for setting default command line arguments."
# The first two steps, and the one that makes the toy's model.
FIRST, SECOND, FETCH = r"data \| toy: [^(]+", r"data \| toy: rename [^(]+", r"model \| [^(]+"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def take_terminal():
    """In the new process: hear Ctrl-C from standard input, also where a shell in the background has tests ignore it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def on_a_terminal(folder, *arguments, columns=80, interrupt=None, **environment):
    """Everything that Snakemake writes to a terminal of its own, and its exit status.

    ``interrupt`` is a text of the screen after which Ctrl-C is pressed.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    run = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, "--config", "run=[toy]"],
        cwd=folder,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "TERM": "xterm-256color"} | environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            new = os.read(ours, 65536)
        except OSError:  # the terminal's last user has left
            break
        said += new
        if interrupt and interrupt in said.decode("utf-8", "replace"):
            time.sleep(1)
            os.write(ours, b"\x03")
            interrupt = None
    os.close(ours)
    return said.decode("utf-8"), run.wait()


def lines_of(said):
    """Lines but for those that come as time goes by."""
    return [line for line in said.splitlines() if not re.match(r"\d+% of the work done in |  at work: ", line)]


def spoil(project, name="crane"):
    """A row that is no JSON, at the end of one of the toy's files; what two jobs say of it."""
    with (project / f"data/toy/{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write("not json\n")


def test_a_pipe_gets_a_line_for_each_step_and_the_log_the_reasons(project):
    outcome = run_snakemake(project, *UNTIL)
    assert outcome.returncode == 0, outcome.stdout
    profile, planning, heading, first, second, done, where = lines_of(outcome.stdout)
    assert (profile, planning) == (PROFILE, "Planning the run.")
    assert heading.startswith("Experiment toy: ") and "2 steps" in heading
    assert re.fullmatch(rf"1 of 2  {FIRST} \([\d.]+ s; forget 6, .*\)", first)
    assert re.fullmatch(rf"2 of 2  {SECOND} \([\d.]+ s; 12 questions .*\)", second)
    assert re.fullmatch(r"Done in [\d.]+ s: 2 of 2 steps\.", done)
    named = project / where.removeprefix("Each step's reason and times: ")
    assert named.read_text(encoding="utf-8") == last_log(project)
    for kept in (
        "Reason: Missing output files: results/toy/data/",
        "Finished jobid: ",
        "Job stats:",
        "Provided cores: 2",
    ):
        assert kept in last_log(project)
    printed = named.with_suffix(".jobs.log").read_text(encoding="utf-8")
    assert "  toy data | done in " in printed and "  toy rename | done in " in printed

    again = run_snakemake(project, "results/toy/data/forget_renamed.jsonl")
    assert again.returncode == 0
    nothing = "Nothing to be done (all requested files are present and up to date)."
    assert again.stdout.splitlines() == [PROFILE, "Planning the run.", nothing]


def test_a_terminal_gets_a_bar_and_is_left_as_it_was(project):
    said, status = on_a_terminal(project, *UNTIL, columns=60)
    assert status == 0, said
    assert "━" in said and re.search(r"[01] of 2 steps", said)
    assert re.search(f"at work: {FIRST}", said)
    assert "\x1b[3" in said  # colours
    assert said.rfind("\x1b[?25l") < said.rfind("\x1b[?25h")  # the cursor is shown again
    lines = [line.strip("\r") for line in CONTROL.sub("", said).splitlines()]
    assert any(re.fullmatch(r"2 of 2  data \| toy: rename .*…", one) for one in lines), lines
    assert lines[-2].startswith("Done in ") and lines[-1].startswith("Each step's reason")


def test_a_terminal_that_asks_for_no_colour_or_can_do_nothing(project):
    plain, status = on_a_terminal(project, *UNTIL, NO_COLOR="1")
    assert status == 0 and "━" in plain
    assert not re.search(r"\x1b\[(\d+;)*(3[0-8]|9[0-7])(;\d+)*m", plain), plain
    dumb, status = on_a_terminal(project, "--forcerun", "rename_subjects", *UNTIL, TERM="dumb")
    assert status == 0 and "\x1b" not in dumb and "━" not in dumb


def test_a_pipe_gets_no_control_codes_whatever_the_environment_says(project, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    said = run_snakemake(project, *UNTIL).stdout
    assert "\x1b" not in said and "\r" not in said and "━" not in said
    assert max(map(len, said.splitlines())) > 200  # lines are whole


def test_failed_jobs_end_with_their_own_errors_each_once(project):
    spoil(project)
    outcome = run_snakemake(project, "--keep-going", "--until", "prepare_data", "fetch_model")
    assert outcome.returncode != 0
    error = "error: data/toy/crane.jsonl:7: not JSON (Expecting value at column 1)"
    assert outcome.stdout.count(f"  {error}\n") == 1
    assert outcome.stdout.count(f"  {error}; delete the file and run the same command again\n") == 1
    assert "Traceback" not in outcome.stdout and "CalledProcessError" not in outcome.stdout
    lines = lines_of(outcome.stdout)
    assert len(lines) <= 16
    told = next(place for place, line in enumerate(lines) if re.fullmatch(f"Failed: {FIRST}", line))
    assert lines[told + 1 : told + 3] == [f"  {error}", "  log: results/toy/logs/prepare_data.log"]
    stopped, *failed, way_out, where = lines[-5:]
    assert re.fullmatch(r"Stopped after [\d.]+ s: 0 of 2 steps are done, 2 failed\.", stopped)
    assert sorted(failed) == [
        "  failed: data | toy: check the rows and write the splits",
        "  failed: model | fetch toy",
    ]
    assert (
        way_out == "To go on, put right what is said above and give the same command again; it starts where this ended."
    )
    assert (project / where.removeprefix("Each step's reason and times: ")).is_file()


def test_a_defect_names_its_traceback(project):
    script = project / "scripts/prepare_data.py"
    text = script.read_text(encoding="utf-8")
    script.write_text(
        re.sub(r"^( +)with script\(.*\n", r"\g<0>\1    {}['lost']\n", text, flags=re.MULTILINE), encoding="utf-8"
    )
    said = run_snakemake(project, *UNTIL).stdout
    assert "  failed: KeyError: 'lost' (traceback in results/toy/logs/prepare_data.log)\n" in said
    assert "Traceback" not in said
    assert "Traceback (most recent call last)" in (project / "results/toy/logs/prepare_data.log").read_text("utf-8")


def test_a_script_that_cannot_begin_says_why(project):
    script = project / "scripts/prepare_data.py"
    script.write_text("import no_such_package\n" + script.read_text(encoding="utf-8"), encoding="utf-8")
    lines = lines_of(run_snakemake(project, *UNTIL).stdout)
    assert "  ModuleNotFoundError: No module named 'no_such_package'" in lines
    assert len(lines) <= 16


def test_an_interrupted_run_says_how_to_go_on(project):
    said, status = on_a_terminal(project, "--until", "finetune", interrupt="at work: model | toy: fine-tune")
    assert status != 0
    lines = [line.strip("\r") for line in CONTROL.sub("", said).splitlines()]
    assert "To go on, give the same command again; it starts where this ended." in lines, said
    assert any(re.match(r"Interrupted after .*: \d+ of \d+ steps are done\.", line) for line in lines), said
    assert "Failed" not in said
    assert said.rfind("\x1b[?25l") < said.rfind("\x1b[?25h")


def test_a_dry_run_shows_the_table_and_on_request_the_reasons(project):
    said = run_snakemake(project, "--dry-run", *UNTIL).stdout
    assert said.count("Job stats:") == 1 and re.search(r"^prepare_data +1$", said, flags=re.MULTILINE)
    assert "Reason: " not in said
    assert said.endswith("Nothing was run. `snakemake -n -p` lists every step with its reason.\n")
    said = run_snakemake(project, "--dry-run", "-p", *UNTIL).stdout
    assert len(re.findall(r"^Reason: Missing output files: ", said, flags=re.MULTILINE)) == 2


def test_quiet_runs_say_nothing_but_errors(project):
    assert run_snakemake(project, *UNTIL, "--quiet").stdout.splitlines() == [PROFILE]
    spoil(project)
    said = run_snakemake(project, *UNTIL, "--quiet", "all").stdout
    assert "  error: data/toy/crane.jsonl:7: not JSON" in said and "Planning" not in said


def test_verbose_runs_are_snakemakes_own(project):
    said = run_snakemake(project, "--verbose", *UNTIL).stdout
    assert "Reason: " in said and "Finished jobid: " in said
