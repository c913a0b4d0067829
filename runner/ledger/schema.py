"""The tables of the ledger as numbered migrations.

Owns the shape of the file; `user_version` says how far it has come. Invariant: a migration that
has been shipped is never changed, and a file from the future is refused rather than guessed at.
"""

from __future__ import annotations

import sqlite3

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE answers (
        id INTEGER PRIMARY KEY,
        request_id TEXT NOT NULL,
        at_s REAL NOT NULL,
        day TEXT NOT NULL,
        model TEXT NOT NULL,
        provider TEXT NOT NULL,
        tenant TEXT NOT NULL,
        outcome TEXT NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL,
        avoided_nusd INTEGER NOT NULL,
        price_prompt REAL,
        price_completion REAL,
        price_as_of TEXT
    );
    CREATE INDEX answers_by_time ON answers (at_s);
    CREATE TABLE attempts (
        answer_id INTEGER NOT NULL REFERENCES answers (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        backend TEXT NOT NULL,
        outcome TEXT NOT NULL,
        ms REAL NOT NULL,
        PRIMARY KEY (answer_id, position)
    ) WITHOUT ROWID;
    CREATE TABLE holds (
        id INTEGER PRIMARY KEY,
        request_id TEXT NOT NULL,
        at_s REAL NOT NULL,
        day TEXT NOT NULL,
        model TEXT NOT NULL,
        provider TEXT NOT NULL,
        tenant TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('reserved', 'settled', 'uncertain', 'released')),
        reserved_nusd INTEGER NOT NULL CHECK (reserved_nusd >= 0),
        held_nusd INTEGER NOT NULL CHECK (held_nusd >= 0),
        generation_id TEXT,
        price_prompt REAL,
        price_completion REAL,
        price_as_of TEXT
    );
    CREATE INDEX holds_by_time ON holds (at_s);
    CREATE INDEX holds_by_request ON holds (request_id);
    CREATE INDEX holds_open ON holds (state) WHERE state IN ('reserved', 'uncertain');
    CREATE TABLE spend (day TEXT PRIMARY KEY, held_nusd INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TRIGGER hold_taken AFTER INSERT ON holds BEGIN
        INSERT INTO spend (day, held_nusd) VALUES (NEW.day, NEW.held_nusd)
        ON CONFLICT (day) DO UPDATE SET held_nusd = held_nusd + NEW.held_nusd;
    END;
    CREATE TRIGGER hold_changed AFTER UPDATE OF held_nusd ON holds BEGIN
        UPDATE spend SET held_nusd = held_nusd + NEW.held_nusd - OLD.held_nusd
        WHERE day = NEW.day;
    END;
    CREATE TABLE samples (
        id INTEGER PRIMARY KEY,
        provider TEXT NOT NULL,
        at_s REAL NOT NULL,
        is_ok INTEGER NOT NULL,
        first_token_s REAL,
        tokens_per_s REAL
    );
    CREATE INDEX samples_by_provider ON samples (provider, id);
    """,
    """
    CREATE TABLE key_spend (
        tenant TEXT NOT NULL,
        day TEXT NOT NULL,
        held_nusd INTEGER NOT NULL,
        PRIMARY KEY (tenant, day)
    ) WITHOUT ROWID;
    INSERT INTO key_spend (tenant, day, held_nusd)
        SELECT tenant, day, sum(held_nusd) FROM holds GROUP BY tenant, day;
    CREATE TRIGGER key_hold_taken AFTER INSERT ON holds BEGIN
        INSERT INTO key_spend (tenant, day, held_nusd)
        VALUES (NEW.tenant, NEW.day, NEW.held_nusd)
        ON CONFLICT (tenant, day) DO UPDATE SET held_nusd = held_nusd + NEW.held_nusd;
    END;
    CREATE TRIGGER key_hold_changed AFTER UPDATE OF held_nusd ON holds BEGIN
        UPDATE key_spend SET held_nusd = held_nusd + NEW.held_nusd - OLD.held_nusd
        WHERE tenant = NEW.tenant AND day = NEW.day;
    END;
    """,
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a file to the newest shape, one numbered step per transaction.

    Raises:
        sqlite3.DatabaseError: the file is newer than this program, or not writable.
    """
    [[version]] = connection.execute("PRAGMA user_version").fetchall()
    if version > len(MIGRATIONS):
        raise sqlite3.DatabaseError(f"it was written by a newer version (schema {version})")
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;"
        )
