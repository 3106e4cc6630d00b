"""A SLURM cluster of two nodes on this machine: daemons, ports, key and folder of its own, and GPUs that are none."""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "sacct")
SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

SLURM_CONF = """\
ClusterName=lunar
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
MinJobAge=3600
KillWait=3
GresTypes=gpu
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=32000 State=UNKNOWN
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 RealMemory=32000 Gres=gpu:2 State=UNKNOWN
PartitionName=cpu Nodes=node1 Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=node2 MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """Programs that a cluster takes and this machine lacks."""
    return [name for name in (*DAEMONS, "sbatch", "squeue") if not shutil.which(name, path=SEARCHED)]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Cluster:
    """Start with ``with``: at the end jobs are cancelled, daemons stopped and the folder removed, whatever happened."""

    def __enter__(self):
        # Not pytest's folder: the path of a socket has at most 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="lunar-slurm-"))
        self.daemons = []
        try:
            self.configure()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def configure(self):
        """Write the configuration, and clients that find it: a job's steps drop SLURM_CONF."""
        folder, host = self.folder, socket.gethostname().split(".")[0]
        for name in ("state", "spool-node1", "spool-node2", "bin", "run"):
            (folder / name).mkdir()
        text = SLURM_CONF.format(host=host, user=getpass.getuser(), folder=folder, ports=free_ports(3))
        (folder / "slurm.conf").write_text(text, encoding="utf-8")
        for number in range(2):
            (folder / f"gpu{number}").symlink_to("/dev/null")
        (folder / "gres.conf").write_text(f"NodeName=node2 Name=gpu File={folder}/gpu[0-1]\n", encoding="utf-8")
        for name in CLIENTS:
            script = folder / "bin" / name
            script.write_text(
                f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which(name, path=SEARCHED)} "$@"\n',
                encoding="utf-8",
            )
            script.chmod(0o755)
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        self.environment = os.environ | {"PATH": f"{folder}/bin{os.pathsep}{SEARCHED}"}

    def start(self):
        """Start the daemons in the foreground, so that they are this process's to stop."""
        folder = self.folder
        paths = ("key-file", "munge.key"), ("socket", "munge.socket"), ("pid-file", "munge.pid"), ("seed-file", "seed")
        self.daemon("munged", "--foreground", "--force", *(f"--{name}={folder / file}" for name, file in paths))
        self.wait(lambda: (folder / "munge.socket").exists(), 20, "munged opens no socket")
        self.daemon("slurmctld", "-D", "-c", "-i", "-f", folder / "slurm.conf")
        for node in ("node1", "node2"):
            self.daemon("slurmd", "-D", "-N", node, "-f", folder / "slurm.conf")
        self.wait(lambda: self.client("sinfo", "-h", "-o", "%T %D").split() == ["idle", "2"], 60, "no idle nodes")

    def daemon(self, name: str, *arguments: str | Path):
        """Start one; what it says goes to a file."""
        with (self.folder / f"{name}.out").open("ab") as said:
            program = shutil.which(name, path=SEARCHED)
            environment = os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": SEARCHED}
            self.daemons.append(
                subprocess.Popen([program, *map(str, arguments)], stdout=said, stderr=said, env=environment)
            )

    def client(self, *command: str) -> str:
        """What a client command prints; nothing where it fails."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout.strip()

    def wait(self, met, seconds: float, else_: str):
        """Wait until ``met()``; TimeoutError with the daemons' words after ``seconds``."""
        end = time.monotonic() + seconds
        while not met():
            if time.monotonic() > end:
                raise TimeoutError(f"{else_} after {seconds} s\n{self.words()}")
            time.sleep(0.2)

    def words(self) -> str:
        """The ends of all logs of the daemons."""
        files = sorted([*self.folder.glob("*.out"), *self.folder.glob("*.log")])
        return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in files)

    def jobs(self) -> dict[str, dict[str, str]]:
        """All jobs that the cluster remembers, as scontrol shows them, by number."""
        shown = [
            dict(entry.split("=", 1) for entry in line.split() if "=" in entry)
            for line in self.client("scontrol", "show", "job", "--oneliner").splitlines()
        ]
        return {job["JobId"]: job for job in shown if "JobId" in job}

    def __exit__(self, *_):
        if len(self.daemons) > 1 and self.daemons[1].poll() is None:
            # A job's own processes are children of no daemon; they end with the job.
            self.client("scancel", "--user", getpass.getuser())
            try:
                self.wait(lambda: not self.client("squeue", "-h", "-t", "PD,R,CG,S"), 30, "jobs go on")
            except TimeoutError:
                self.client("scancel", "--full", "--signal=KILL", "--user", getpass.getuser())
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in reversed(self.daemons):
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self.kill_left()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill_left(self):
        """Kill what jobs may have left: processes whose environment names this cluster's folder."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):  # it ended, or belongs to somebody else
                    if str(self.folder).encode() in (entry / "environ").read_bytes():
                        os.kill(int(entry.name), signal.SIGKILL)
