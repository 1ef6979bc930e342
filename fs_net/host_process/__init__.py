"""The process that runs libp2p, and the only one that imports it; parses what strangers send.

py-libp2p was written for well-meaning peers: an exception in a stream's handler ends the host.
``guards`` holds that in.  What nevertheless breaks it, breaks this process alone, and ``host``
starts it again.
"""
