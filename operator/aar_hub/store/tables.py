"""The tables."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Integer, String, Table, Text

METADATA = sa.MetaData()

campaigns = Table(
    "campaigns",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),  # always 1: a hub has one campaign
    Column("name", String(63), nullable=False),
    Column("namespace", String(63), nullable=False),
    Column("uid", String(64), nullable=False),
    Column("spec", JSON, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("stage_reason", String(64), nullable=False, default=""),
    Column("failed", Text, nullable=False, default=""),
    Column("failed_reason", String(64), nullable=False, default=""),
    Column("verification", JSON),  # the selection and verdicts, written once each
    Column("verified", Boolean, nullable=False, default=False),
    Column("opened", String(32), nullable=False),
    Column("researching", String(32)),
)

tasks = Table(
    "tasks",
    METADATA,
    Column("key", String(71), primary_key=True),
    Column("ref", JSON, nullable=False),
    Column("main", Boolean, nullable=False),
    Column("built", Boolean, nullable=False, default=False),
    Column("ready", Boolean, nullable=False, default=False),
    Column("failed", Text, nullable=False, default=""),
    Column("info", JSON),
    Column("sealed", String(71)),  # digest of what the labels are; never leaves the hub
    Column("blobs", JSON, nullable=False),
)

snapshots = Table(
    "snapshots",
    METADATA,
    Column("digest", String(71), primary_key=True),
    Column("blob", String(71), nullable=False),
    Column("parents", JSON, nullable=False),
    Column("author", String(63), nullable=False),
    Column("created", String(32), nullable=False),
)

experiments = Table(
    "experiments",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("name", String(63), nullable=False, unique=True),
    Column("uid", String(64), nullable=False, default=""),
    Column("purpose", String(16), nullable=False),
    Column("role", String(16), nullable=False, default="method"),
    Column("researcher", String(63), nullable=False),
    Column("key", String(128), nullable=False),
    Column("task", String(71), nullable=False),
    Column("label", String(63), nullable=False, default=""),
    Column("snapshot", String(71)),
    Column("builtin", String(63)),
    Column("config", JSON, nullable=False),
    Column("seeds", Integer, nullable=False),
    Column("weak_offset", Integer, nullable=False, default=0),
    Column("control", String(32)),
    Column("replicates", String(63)),
    Column("spec", JSON, nullable=False),
    Column("content", String(71), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(64), nullable=False, default=""),
    Column("message", Text, nullable=False, default=""),
    Column("drawn", JSON, nullable=False),
    Column("part", String(13), nullable=False),
    Column("deadline", Integer, nullable=False),
    Column("reserved", BigInteger, nullable=False, default=0),
    Column("cost", BigInteger, nullable=False, default=0),
    Column("cpu_seconds", Float, nullable=False, default=0.0),
    Column("gpu_seconds", Float, nullable=False, default=0.0),
    Column("run_seconds", Float, nullable=False, default=0.0),  # of the longest seed
    Column("job", JSON),
    Column("duplicate_of", String(63)),
    Column("audit", String(16)),
    Column("audit_message", Text, nullable=False, default=""),
    Column("created", String(32), nullable=False),
    Column("ended", String(32)),
    sa.Index("experiments_by_submitter", "researcher", "key", unique=True),
    sa.Index("experiments_by_content", "content"),
)

outputs = Table(
    "outputs",
    METADATA,
    Column("experiment", String(63), primary_key=True),
    Column("seed_index", Integer, primary_key=True, autoincrement=False),
    Column("ok", Boolean, nullable=False),
    Column("reason", String(64), nullable=False, default=""),
    Column("message", Text, nullable=False, default=""),
    Column("log_tail", Text, nullable=False, default=""),
    Column("told", Integer, nullable=False, default=0),  # characters that its submitter could read, of every attempt
    Column("seconds", Float, nullable=False, default=0.0),
    Column("blob", String(71)),
)

scores = Table(
    "scores",
    METADATA,
    Column("experiment", String(63), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("split", String(8), nullable=False),
    Column("pgr", Float, nullable=False),
    Column("stderr", Float, nullable=False),
    Column("shown", Float, nullable=False),  # what a researcher is told: rounded, by the ladder
    Column("best", Boolean, nullable=False, default=False),  # the ladder's incumbent when it came
    Column("n_seeds", Integer, nullable=False),
    Column("copied_from", String(63)),
    Column("receipt", String(71), nullable=False),
)

ledger = Table(
    "ledger",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("key", String(160), nullable=False, unique=True),
    Column(
        "entry", String(8), nullable=False
    ),  # reserve (+ or -), settle, or gpu: the part of a reserve that is for GPUs
    Column("account", String(16), nullable=False),  # verification, experiment; for settle: cpu, gpu, llm
    Column("experiment", String(63)),
    Column("micros", BigInteger, nullable=False),
    Column("created", String(32), nullable=False),
)

ledger_totals = Table(  # sums of the ledger, kept with every row: a balance must not read every call ever made
    "ledger_totals",
    METADATA,
    Column("entry", String(8), primary_key=True),
    Column("account", String(16), primary_key=True),
    Column("micros", BigInteger, nullable=False),
)

feed = Table(
    "feed",
    METADATA,
    Column("cursor", BigInteger, primary_key=True, autoincrement=False),
    Column("event", JSON, nullable=False),
)

findings = Table(
    "findings",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("author", String(63), nullable=False),
    Column("owner", Boolean, nullable=False, default=False),
    Column("key", String(128)),
    Column("kind", String(16), nullable=False),
    Column("title", String(200), nullable=False),
    Column("text", Text, nullable=False),
    Column("experiments", JSON, nullable=False),
    Column("created", String(32), nullable=False),
    sa.Index("findings_by_key", "author", "key", unique=True),
)

methods = Table("methods", METADATA, Column("name", String(63), primary_key=True), Column("card", JSON, nullable=False))

finished = Table(
    "finished",
    METADATA,
    Column("researcher", String(63), primary_key=True),
    Column("reason", String(512), nullable=False),
    Column("created", String(32), nullable=False),
)

llm_calls = Table(
    "llm_calls",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("call", String(32), nullable=False, unique=True),
    Column("researcher", String(63), nullable=False),
    Column("kind", String(16), nullable=False),  # messages or count_tokens
    Column("model", String(128), nullable=False),
    Column("started", String(32), nullable=False),
    Column("ended", String(32)),
    Column("outcome", String(16), nullable=False),  # open while it runs: then `reserved` is held
    Column("status", Integer),  # what the provider answered; none if it did not
    Column("reserved", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False, default=0),
    Column("input", Integer, nullable=False, default=0),
    Column("cache_read", Integer, nullable=False, default=0),
    Column("cache_write_5m", Integer, nullable=False, default=0),
    Column("cache_write_1h", Integer, nullable=False, default=0),
    Column("output", Integer, nullable=False, default=0),
    Column("record", String(71)),  # blob with request and answer
    sa.Index("llm_calls_by_outcome", "outcome", "reserved"),
    sa.Index("llm_calls_by_researcher", "researcher", "seq"),
)

transcripts = Table(
    "transcripts",
    METADATA,
    Column("researcher", String(63), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("line", Text, nullable=False),
    Column("received", String(32), nullable=False),
)
