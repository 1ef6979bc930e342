"""The program fs-tunnel: WireGuard in userspace, with client and provider in one program."""

__version__ = "0.2.0"
