"""Money without IO: units, prices, vouchers, credit windows and the books of both sides."""
