# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The network process: it alone imports libp2p, and parses what strangers send.

py-libp2p was written for well-meaning peers: an exception in a stream's handler ends the host.
``guards`` contains such faults. A fault that gets through ends only this process, and
``fs_net.host`` starts it again.
"""
