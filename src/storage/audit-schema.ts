// The audit trail's step of the schema of each database (migrations.ts, postgres-migrations.ts). Its triggers
// let the table only be added to: a record changes only by losing its subject, and goes only up to where
// the head says that it may. They are there for our own mistakes, and for a hand in a shell that means no
// harm. Who wants to drops them, and then it is the hashes that show it.
//
// In SQLite they hold for REPLACE as well, which removes rows without asking a DELETE trigger: a record is
// refused BEFORE that unless its number is the next one. In PostgreSQL they hold for TRUNCATE.

export const auditSchema = `
  CREATE TABLE audit_record (
    seq INTEGER NOT NULL PRIMARY KEY,
    at REAL NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    actor_role TEXT,
    action TEXT NOT NULL,
    result TEXT NOT NULL,
    salt TEXT,
    subject TEXT,
    commitment TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL,
    CHECK ((salt IS NULL) = (subject IS NULL))
  ) STRICT;

  CREATE TABLE audit_head (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL,
    pruned_seq INTEGER NOT NULL
  ) STRICT;
  INSERT INTO audit_head VALUES (1, 0, '${'0'.repeat(64)}', 0);

  CREATE TRIGGER audit_record_is_next BEFORE INSERT ON audit_record
  WHEN (NEW.seq, NEW.previous_hash) IS NOT (SELECT seq + 1, hash FROM audit_head)
  BEGIN SELECT RAISE(ABORT, 'an audit record has to follow the last one'); END;

  CREATE TRIGGER audit_record_stays BEFORE UPDATE ON audit_record
  WHEN NEW.salt IS NOT NULL OR NEW.subject IS NOT NULL OR
    (NEW.seq, NEW.at, NEW.actor_kind, NEW.actor_name, NEW.actor_role, NEW.action, NEW.result,
      NEW.commitment, NEW.previous_hash, NEW.hash) IS NOT
    (OLD.seq, OLD.at, OLD.actor_kind, OLD.actor_name, OLD.actor_role, OLD.action, OLD.result,
      OLD.commitment, OLD.previous_hash, OLD.hash)
  BEGIN SELECT RAISE(ABORT, 'an audit record can only lose its subject'); END;

  CREATE TRIGGER audit_record_is_kept BEFORE DELETE ON audit_record
  WHEN OLD.seq > (SELECT pruned_seq FROM audit_head)
  BEGIN SELECT RAISE(ABORT, 'an audit record is kept until it is pruned'); END;

  CREATE TRIGGER audit_head_moves_on BEFORE UPDATE ON audit_head
  WHEN NEW.only_row <> 1 OR NEW.seq < OLD.seq OR NEW.pruned_seq < OLD.pruned_seq OR NEW.pruned_seq > NEW.seq
  BEGIN SELECT RAISE(ABORT, 'the head of the audit trail only moves on'); END;

  CREATE TRIGGER audit_head_is_one BEFORE INSERT ON audit_head
  BEGIN SELECT RAISE(ABORT, 'the audit trail has one head'); END;

  CREATE TRIGGER audit_head_is_kept BEFORE DELETE ON audit_head
  BEGIN SELECT RAISE(ABORT, 'the audit trail has one head'); END;
`

// Numbers of records are DOUBLE PRECISION, which is exact for them: the client gives a BIGINT as text.
// Functions name their schema, since whoever runs them may look for tables elsewhere.
export const postgresAuditSchema = `
  CREATE TABLE audit_record (
    seq DOUBLE PRECISION NOT NULL PRIMARY KEY,
    at DOUBLE PRECISION NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    actor_role TEXT,
    action TEXT NOT NULL,
    result TEXT NOT NULL,
    salt TEXT,
    subject TEXT,
    commitment TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL,
    CHECK ((salt IS NULL) = (subject IS NULL))
  );

  CREATE TABLE audit_head (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    seq DOUBLE PRECISION NOT NULL,
    hash TEXT NOT NULL,
    pruned_seq DOUBLE PRECISION NOT NULL
  );
  INSERT INTO audit_head VALUES (1, 0, '${'0'.repeat(64)}', 0);

  CREATE FUNCTION audit_refusal() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0];
  END $$;

  CREATE FUNCTION audit_record_is_next() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF NOT EXISTS (SELECT FROM fleetwarden.audit_head WHERE (seq + 1, hash) = (NEW.seq, NEW.previous_hash)) THEN
      RAISE EXCEPTION 'an audit record has to follow the last one';
    END IF;
    RETURN NEW;
  END $$;

  CREATE FUNCTION audit_record_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF OLD.seq > (SELECT pruned_seq FROM fleetwarden.audit_head) THEN
      RAISE EXCEPTION 'an audit record is kept until it is pruned';
    END IF;
    RETURN OLD;
  END $$;

  CREATE TRIGGER audit_record_is_next BEFORE INSERT ON audit_record
  FOR EACH ROW EXECUTE FUNCTION audit_record_is_next();

  CREATE TRIGGER audit_record_stays BEFORE UPDATE ON audit_record FOR EACH ROW
  WHEN (NEW.salt IS NOT NULL OR NEW.subject IS NOT NULL OR
    (NEW.seq, NEW.at, NEW.actor_kind, NEW.actor_name, NEW.actor_role, NEW.action, NEW.result,
      NEW.commitment, NEW.previous_hash, NEW.hash) IS DISTINCT FROM
    (OLD.seq, OLD.at, OLD.actor_kind, OLD.actor_name, OLD.actor_role, OLD.action, OLD.result,
      OLD.commitment, OLD.previous_hash, OLD.hash))
  EXECUTE FUNCTION audit_refusal('an audit record can only lose its subject');

  CREATE TRIGGER audit_record_is_kept BEFORE DELETE ON audit_record
  FOR EACH ROW EXECUTE FUNCTION audit_record_is_kept();

  CREATE TRIGGER audit_records_are_kept BEFORE TRUNCATE ON audit_record
  EXECUTE FUNCTION audit_refusal('an audit record is kept until it is pruned');

  CREATE TRIGGER audit_head_moves_on BEFORE UPDATE ON audit_head FOR EACH ROW
  WHEN (NEW.only_row <> 1 OR NEW.seq < OLD.seq OR NEW.pruned_seq < OLD.pruned_seq OR NEW.pruned_seq > NEW.seq)
  EXECUTE FUNCTION audit_refusal('the head of the audit trail only moves on');

  CREATE TRIGGER audit_head_is_one BEFORE INSERT ON audit_head
  FOR EACH ROW EXECUTE FUNCTION audit_refusal('the audit trail has one head');

  CREATE TRIGGER audit_head_is_kept BEFORE DELETE OR TRUNCATE ON audit_head
  EXECUTE FUNCTION audit_refusal('the audit trail has one head');
`
