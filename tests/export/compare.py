"""Compares the Parquet files of a folder with the rows of a ledger, value by value.

compare.py FOLDER ROWS: ROWS are the rows as the database has them, money in picodollars: JSON objects, one a line, or the file of an SQLite
database. The files are read by Apache Arrow, and once more by DuckDB as the Hive-partitioned table that users see.
"""

import json
import sqlite3
import sys
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

folder, rows_file = Path(sys.argv[1]), sys.argv[2]


def wanted(column, value):
    """A value of the database as the files are to have it."""
    if value is None:
        return None
    if pa.types.is_decimal(column.type):
        return Decimal(value) / Decimal(10**12)
    if pa.types.is_binary(column.type):
        return bytes.fromhex(value)
    if pa.types.is_boolean(column.type):
        return value in (True, 1, "true", "1")
    if pa.types.is_integer(column.type):
        return int(value)
    if pa.types.is_timestamp(column.type):
        return datetime.strptime(value + "+0000", "%Y-%m-%d %H:%M:%S.%f%z")
    return str(value)


def rows_of_sqlite(file):
    """All columns but those that the database makes of others."""
    database = sqlite3.connect(file)
    database.row_factory = sqlite3.Row
    for row in database.execute("SELECT * FROM api_requests"):
        named = {name.replace("cost_picos", "cost_usd"): row[name] for name in row.keys() if not name.endswith("cost_usd")}
        for name in ("request_id", "timestamp", "duration_ms"):
            del named[name]
        yield {name: value.hex() if isinstance(value, bytes) else value for name, value in named.items()}


if rows_file.endswith(".db"):
    ledger = {row["id"]: row for row in rows_of_sqlite(rows_file)}
else:
    with open(rows_file) as lines:
        ledger = {row["id"]: row for row in map(json.loads, lines)}

seen, files = {}, sorted(folder.glob("date=*/hour=*/*.parquet"))
for path in files:
    # the folders' names are no columns of the file
    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    assert schema.field("created_at").type == pa.timestamp("us", tz="UTC"), schema
    assert schema.field("cost_usd").type == pa.decimal128(38, 12), schema
    assert schema.field("id").type == pa.string() and schema.field("input_tokens").type == pa.int64(), schema
    rows = file.read().to_pylist()
    assert rows and rows == sorted(rows, key=lambda row: (row["created_at"], row["id"])), path
    for row in rows:
        assert row["id"] not in seen, f"{row['id']} is there twice"
        seen[row["id"]] = row
        hour = row["created_at"].astimezone(timezone.utc).strftime("date=%Y-%m-%d/hour=%H")
        assert str(path.relative_to(folder)) == f"{hour}/{row['instance']}.parquet", (path, row["created_at"])
        stored = ledger.get(row["id"])
        assert stored is not None, f"{row['id']} is not in the database"
        assert set(row) == set(stored), set(row) ^ set(stored)
        for name, value in row.items():
            right = wanted(schema.field(name), stored[name])
            assert value == right, f"{row['id']}: {name} is {value!r}, and {right!r} in the database"

assert set(seen) == set(ledger), f"{len(seen)} rows of {len(ledger)}"
leftover = [str(path) for path in folder.rglob("*") if path.is_file() and path not in files]
assert not leftover, leftover
if seen:
    pattern = f"{folder}/**/*.parquet"
    query = "SELECT count(*), count(DISTINCT id), sum(cost_usd), sum(output_tokens), min(date)::text, typeof(any_value(cost_usd))"
    count, ids, cost, tokens, date, kind = duckdb.sql(
        f"{query} FROM read_parquet('{pattern}', hive_partitioning = true)"
    ).fetchall()[0]
    costs = [row["cost_usd"] for row in seen.values() if row["cost_usd"] is not None]
    assert (count, ids) == (len(seen), len(seen)) and kind == "DECIMAL(38,12)", (count, ids, kind)
    assert cost == (sum(costs) if costs else None), (cost, sum(costs))
    assert (tokens or 0) == sum(row["output_tokens"] or 0 for row in seen.values()), tokens
    assert date == min(row["created_at"] for row in seen.values()).strftime("%Y-%m-%d"), date
print(len(seen))
