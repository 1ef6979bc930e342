# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The tables of a full node, in SQLite or PostgreSQL.

Times are ms since the epoch. Amounts exceed 64 bits, so they are stored as decimal digits.
"""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table

from fs_net.fullnode.uptime import DAY

SCHEMA = "1"

metadata = MetaData()
_DIGITS = 29  # decimal digits of the greatest amount, which has 96 bits

about = Table(  # the version of the schema, and the network of this database
    "about",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("value", String(64), nullable=False),
)

records = Table(  # the latest record of each provider
    "records",
    metadata,
    Column("provider", LargeBinary(20), primary_key=True),
    Column("sequence", BigInteger, nullable=False, index=True),
    Column("raw", LargeBinary, nullable=False),
    Column("first_seen", BigInteger, nullable=False),
)

prices = Table(  # each price holds from its start on
    "prices",
    metadata,
    Column("provider", LargeBinary(20), primary_key=True),
    Column("start", BigInteger, primary_key=True, index=True),
    Column("per_gib", String(_DIGITS), nullable=False),
    Column("per_hour", String(_DIGITS), nullable=False),
)

uptimes = Table(  # ``day`` counts from the epoch; ``shares`` has the bytes of ``uptime``
    "uptimes",
    metadata,
    Column("provider", LargeBinary(20), primary_key=True),
    Column("day", Integer, primary_key=True, index=True),
    Column("shares", LargeBinary(DAY), nullable=False),
)

statistics = Table(  # ``said`` is a ``catalogue.Statistics`` in JSON
    "statistics",
    metadata,
    Column("at", BigInteger, primary_key=True),
    Column("said", String, nullable=False),
)
