# Install Chromium and a font, from Debian's packages; nothing where it is there.
set -eu
command -v chromium > /dev/null && exit 0
as_root=
if test "$(id -u)" != 0; then
    as_root="sudo -n"
    if ! $as_root true 2> /dev/null; then
        echo "make test-browser: lacks chromium, and installing it takes root or a sudo without password." >&2
        echo "Have somebody install chromium fonts-dejavu-core." >&2
        exit 1
    fi
fi
if ! command -v apt-get > /dev/null; then
    echo "make test-browser: lacks chromium, and there is no apt-get here; install it by hand." >&2
    exit 1
fi
$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    chromium fonts-dejavu-core > /dev/null
