"""Accounts and deposits: wallets, stakes, vouchers on the disk, and settlement."""
