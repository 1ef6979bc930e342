"""The bandwidth market: prices, vouchers and channels, on any EVM chain."""
