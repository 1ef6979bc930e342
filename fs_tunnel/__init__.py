"""The program fs-tunnel: WireGuard in userspace, with client and provider in one program."""

__version__ = "0.1.0"
