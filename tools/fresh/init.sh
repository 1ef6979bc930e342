# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

# shellcheck shell=bash
# The first process of a bare system; tools/fresh/bare.py starts it in new namespaces.
#
#   bash init.sh ROOT DESCRIPTOR
#
# It writes its id, as this machine sees it, to DESCRIPTOR, builds the file systems that a booted
# machine has, makes ROOT the root, writes "up", and waits.
set -euo pipefail
root=$1
descriptor=$2

# /proc is still that of the machine.
read -r id _ </proc/self/stat
echo "$id" >&"$descriptor"

mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
# Only the settings of the network are the system's own; all others are the machine's.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,rw proc/sys/net
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/net dev/pts dev/shm
mount -t devpts -o newinstance,gid=5,mode=620,ptmxmode=666 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
umask 0
mknod dev/null c 1 3
mknod dev/zero c 1 5
mknod dev/full c 1 7
mknod dev/random c 1 8
mknod dev/urandom c 1 9
mknod dev/tty c 5 0
mknod dev/net/tun c 10 200
umask 022
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
hostname fresh

mkdir -p mnt/machine
pivot_root . mnt/machine
# Bash collects what its orphans leave, as a first process has to.
exec chroot . /bin/bash -c "umount -l /mnt/machine && rmdir /mnt/machine
echo up >&$descriptor
exec $descriptor>&-
while :; do sleep infinity & wait; done"
