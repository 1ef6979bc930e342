"""What may be wrong with a stranger's bytes.

FlowShieldError
└── Malformed                   bytes that are not what ``encode`` makes of any value of ours
"""

from fs_tunnel.errors import FlowShieldError


class Malformed(FlowShieldError):
    """Not canonical, of no schema, too long or too deep."""
