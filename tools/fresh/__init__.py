# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``make fresh``: both commands of the README as the first ones on bare systems.

Each system is made with debootstrap and has git, make and python3 besides.  It runs in namespaces
of its own, and its network is a process in userspace.  So nothing in it can change this machine's
files, rules, routes or DNS, and everything in it ends with its first process.
"""
