# Install what a SLURM cluster on one machine takes, from Debian's (or Ubuntu's) packages; nothing where it is there.
set -eu
PATH=$PATH:/usr/sbin:/sbin
missing=
for program in slurmctld slurmd munged sbatch; do
    command -v $program > /dev/null || missing="$missing $program"
done
test -n "$missing" || exit 0
as_root=
if test "$(id -u)" != 0; then
    as_root="sudo -n"
    if ! $as_root true 2> /dev/null; then
        echo "make test-slurm: lacks$missing, and installing them takes root or a sudo without password." >&2
        echo "Have somebody install slurmctld slurmd slurm-client munge slurm-wlm-basic-plugins." >&2
        exit 1
    fi
fi
if ! command -v apt-get > /dev/null; then
    echo "make test-slurm: lacks$missing, and there is no apt-get here; install SLURM and munge by hand." >&2
    exit 1
fi
$as_root apt-get update -qq
# Their services are not started: the tests run daemons of their own.
$as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends \
    slurmctld slurmd slurm-client munge slurm-wlm-basic-plugins > /dev/null
