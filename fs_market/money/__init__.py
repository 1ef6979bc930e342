"""Accounts and deposits: wallets, stakes, vouchers in the journal, and settlement."""
