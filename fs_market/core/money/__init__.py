"""Money without IO: units, prices, vouchers, receipts and the books of both sides."""
