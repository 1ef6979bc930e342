"""FlowShield's tunnel: WireGuard in userspace, client and provider in one program."""

__version__ = "0.2.0"
