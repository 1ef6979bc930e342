"""What a full node writes down, in SQLite or PostgreSQL.

Times are ms since the epoch; amounts, which exceed 64 bits, are decimal digits.
"""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table

from fs_net.fullnode.uptime import DAY

SCHEMA = "1"

metadata = MetaData()
_DIGITS = 29  # of the greatest amount, of 96 bits

about = Table(  # this file: its schema, and the network that it is of
    "about",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("value", String(64), nullable=False),
)

records = Table(  # the latest of each provider
    "records",
    metadata,
    Column("provider", LargeBinary(20), primary_key=True),
    Column("sequence", BigInteger, nullable=False, index=True),
    Column("raw", LargeBinary, nullable=False),
    Column("first_seen", BigInteger, nullable=False),
)

prices = Table(  # each from its start on
    "prices",
    metadata,
    Column("provider", LargeBinary(20), primary_key=True),
    Column("start", BigInteger, primary_key=True, index=True),
    Column("per_gib", String(_DIGITS), nullable=False),
    Column("per_hour", String(_DIGITS), nullable=False),
)

uptimes = Table(  # days since the epoch; bytes as in ``uptime``
    "uptimes",
    metadata,
    Column("provider", LargeBinary(20), primary_key=True),
    Column("day", Integer, primary_key=True, index=True),
    Column("shares", LargeBinary(DAY), nullable=False),
)

statistics = Table(  # JSON of ``catalogue.Statistics``
    "statistics",
    metadata,
    Column("at", BigInteger, primary_key=True),
    Column("said", String, nullable=False),
)
