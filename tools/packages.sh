# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

# shellcheck shell=bash
# What tools/setup and tools/install share: the Python to use, and packages of apt by purpose.
# Source it from the top of the repository. PYTHON, if set, names the Python.

# find_python PREFERRED: sets `python`.
find_python() {
    local candidate
    for candidate in ${PYTHON:-$1 python3 python3.11 python3.12 python3.13 python3.14}; do
        python=$("$candidate" -c 'import os, sys
print(os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable))
sys.exit(sys.version_info < (3, 11))' 2>/dev/null) && [[ -x $python ]] && return
    done
    die "no Python >= 3.11 found among: ${PYTHON:-python3, python3.11 to python3.14 on PATH}." \
        "Install one (Debian 12, Ubuntu 24.04: apt-get install python3;" \
        "Ubuntu 22.04: apt-get install python3.11), or name one: make PYTHON=/path/to/python ..."
}

# install_apt_packages LIST...: each LIST names requirements/apt/LIST.txt.
install_apt_packages() {
    local -a missing
    if ! command -v dpkg-query >/dev/null; then
        # Other distributions have other names: check_build_tools, the tests and the demo say what they lack.
        return
    fi
    mapfile -t missing < <(missing_apt_packages "$@")
    if ((${#missing[@]} == 0)); then
        return
    fi
    if ((EUID != 0)); then
        say "these packages are missing: ${missing[*]}"
        say "as root: apt-get install --no-install-recommends ${missing[*]}"
        return
    fi
    say "installing with apt: ${missing[*]}"
    # Without a terminal for its questions, tshark's debconf takes the default (root only captures).
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update </dev/null ||
        die "apt-get update failed; mend the network or /etc/apt/sources.list, then try again"
    apt-get -qq -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 install -y --no-install-recommends \
        "${missing[@]}" </dev/null >/dev/null ||
        die "apt-get install failed; its message stands above"
}

missing_apt_packages() {
    local -a lists wanted
    local -A installed=()
    local name status version command
    lists=("${@/#/requirements/apt/}")
    while read -r name command; do
        command -v "${command//[()]/}" >/dev/null || wanted+=("$name")
    done < <(sed -e 's/#.*//' -e "s/ \\[$(dpkg --print-architecture)\\]//" \
        -e "/<!$(distribution)>/d" -e 's/ <!.*>//' \
        -e '/^[[:space:]]*$/d' -e '/\[/d' "${lists[@]/%/.txt}" | sort -u)
    if [[ $python == /usr/bin/* ]]; then
        version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
        wanted+=("$version-venv" "$version-dev")
    fi
    while read -r name status; do
        if [[ $status == installed ]]; then
            installed[$name]=1
        fi
    done < <(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null)
    for name in "${wanted[@]}"; do
        [[ -n ${installed[$name]:-} ]] || echo "$name"
    done
}

distribution() (
    # shellcheck source=/dev/null
    . /etc/os-release
    echo "$ID"
)

check_build_tools() {
    command -v cc >/dev/null || command -v gcc >/dev/null ||
        die "no C compiler, which python-pytun needs; install gcc and libc6-dev"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$python lacks venv or ensurepip; install the python3-venv package that belongs to it"
    "$python" -c 'import pathlib, sys, sysconfig
sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' ||
        die "$python lacks its C headers; install the python3-dev package that belongs to it"
}

# make_venv FOLDER: with what builds each sdist of the lock, so that nothing is fetched to build with.
make_venv() {
    "$python" -m venv --clear "$1"
    pip_install "$1" --require-hashes -r <(locked setuptools wheel packaging poetry-core)
}

# pip_install VENV ARGUMENTS...: the packages named, and none besides.
pip_install() {
    "$1/bin/python" -m pip install --disable-pip-version-check -qq --progress-bar off \
        --no-deps "${@:2}"
}

# The lines of the lock that belong to the packages named.
locked() {
    local IFS='|'
    awk -v names="^($*)==" '/^[^ #]/ { keep = $0 ~ names } keep' requirements/lock.txt
}

hash() {
    sha256sum | cut -c 1-16
}

say() {
    echo "${0##*/}: $*"
}

die() {
    echo "${0##*/}: error: $*" >&2
    exit 1
}
