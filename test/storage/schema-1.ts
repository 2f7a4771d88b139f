// A database as the first release made it, schema and rows: what an upgrade finds. Never edited: it
// is a copy on purpose, so that an edit of a step that was released fails a test.

import { DatabaseSync } from 'node:sqlite'

const schema = `
CREATE TABLE alert (
  key TEXT NOT NULL PRIMARY KEY,
  fingerprint TEXT NOT NULL,
  rule_id TEXT NOT NULL,
  definition TEXT NOT NULL,
  subject_kind TEXT NOT NULL,
  user_id TEXT,
  device_type TEXT,
  device_id TEXT,
  fleet_group TEXT,
  labels TEXT NOT NULL,
  annotations TEXT NOT NULL,
  affected TEXT NOT NULL,
  state TEXT NOT NULL,
  episode TEXT NOT NULL,
  active_at REAL NOT NULL,
  fired_at REAL,
  keep_firing_since REAL,
  resolved_at REAL,
  resolved_reason TEXT,
  no_data TEXT,
  deleted_seen INTEGER NOT NULL,
  evaluated_at REAL NOT NULL,
  settled INTEGER NOT NULL
) STRICT;

CREATE TABLE group_timer (
  group_key TEXT NOT NULL PRIMARY KEY,
  next_flush_at REAL NOT NULL,
  flushed INTEGER NOT NULL
) STRICT;

CREATE TABLE dedup_entry (
  group_key TEXT NOT NULL,
  integration_key TEXT NOT NULL,
  at REAL NOT NULL,
  firing TEXT NOT NULL,
  resolved TEXT NOT NULL,
  PRIMARY KEY (group_key, integration_key)
) STRICT;

CREATE TABLE outbox (
  group_key TEXT NOT NULL,
  integration_key TEXT NOT NULL,
  reason TEXT NOT NULL,
  at REAL NOT NULL,
  first_decided_at REAL NOT NULL,
  firing TEXT NOT NULL,
  resolved TEXT NOT NULL,
  delivered TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  next_attempt_at REAL NOT NULL,
  PRIMARY KEY (group_key, integration_key)
) STRICT;

CREATE TABLE walk_state (
  only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
  state TEXT NOT NULL
) STRICT;
`

const rows = `
INSERT INTO alert VALUES (
  'rule' || char(10) || 'user/7', 'f1', 'rule', 'd1', 'user', '7', NULL, NULL, NULL, '{"alertname":"Lost"}',
  '{"summary":"s"}', '{"externalUserId":"C-1","name":null,"email":null,"model":null}', 'firing', 'e1',
  1000.5, 2000, NULL, NULL, NULL, NULL, 0, 3000, 0
);
INSERT INTO group_timer VALUES ('g', 5000, 1);
INSERT INTO dedup_entry VALUES ('g', 'on-call/slack/0', 4000, '["f1"]', '[]');
INSERT INTO outbox VALUES (
  'g', 'on-call/email/0', 'repeat', 4000, 3500, '["f1"]', '["f2"]', '["a@example.com"]', 2, 4500
);
INSERT INTO walk_state VALUES (1, '{"last":null,"failedInARow":3,"lastCompleteAt":null,"aliveAt":9}');
`

export function createFirstDatabase(path: string): void {
  const db = new DatabaseSync(path)
  db.exec(`PRAGMA application_id = ${0x46_4c_57_44}; PRAGMA user_version = 1; PRAGMA journal_mode = WAL`)
  db.exec(schema)
  db.exec(rows)
  db.close()
}
