-- The first schema, as stores of that version have it. Frozen: what is migrated forward begins here.
CREATE TABLE blob (
	digest BLOB NOT NULL, 
	data BLOB NOT NULL, 
	idx INTEGER NOT NULL, 
	PRIMARY KEY (digest)
)
 STRICT;
CREATE TABLE broker_key (
	purpose TEXT NOT NULL, 
	serial INTEGER NOT NULL, 
	not_before INTEGER NOT NULL, 
	wrapped BLOB NOT NULL, 
	PRIMARY KEY (purpose, serial)
)
 STRICT;
CREATE TABLE chain_head (
	chain TEXT NOT NULL, 
	idx INTEGER NOT NULL, 
	seq INTEGER NOT NULL, 
	PRIMARY KEY (chain)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE challenge_used (
	digest BLOB NOT NULL, 
	bound BLOB NOT NULL, 
	issued_at INTEGER NOT NULL, 
	reply BLOB NOT NULL, 
	idx INTEGER NOT NULL, 
	size INTEGER NOT NULL, 
	proof BLOB NOT NULL, 
	PRIMARY KEY (digest)
)
 STRICT;
CREATE INDEX challenge_used_issued_at ON challenge_used (issued_at);
CREATE TABLE key_material (
	name TEXT NOT NULL, 
	parent TEXT NOT NULL, 
	wrapped BLOB NOT NULL, 
	PRIMARY KEY (name)
)
 STRICT;
CREATE TABLE lease (
	lease_id TEXT NOT NULL, 
	tenant TEXT NOT NULL, 
	node TEXT NOT NULL, 
	start INTEGER NOT NULL, 
	"end" INTEGER NOT NULL, 
	idx INTEGER NOT NULL, 
	PRIMARY KEY (lease_id)
)
 STRICT;
CREATE INDEX lease_node ON lease (tenant, node);
CREATE TABLE log_entry (
	idx INTEGER NOT NULL, 
	leaf BLOB NOT NULL, 
	leaf_hash BLOB NOT NULL, 
	PRIMARY KEY (idx)
)
 STRICT;
CREATE TABLE log_head (
	shard INTEGER NOT NULL, 
	size INTEGER NOT NULL, 
	root BLOB NOT NULL, 
	frontier BLOB NOT NULL, 
	last_time INTEGER NOT NULL, 
	PRIMARY KEY (shard)
)
 STRICT;
CREATE TABLE log_root (
	size INTEGER NOT NULL, 
	root BLOB NOT NULL, 
	committed_at INTEGER NOT NULL, 
	PRIMARY KEY (size)
)
 STRICT;
CREATE TABLE meter (
	meter TEXT NOT NULL, 
	window INTEGER NOT NULL, 
	total INTEGER NOT NULL, 
	PRIMARY KEY (meter, window)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE meter_member (
	meter TEXT NOT NULL, 
	window INTEGER NOT NULL, 
	member TEXT NOT NULL, 
	PRIMARY KEY (meter, window, member)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE state (
	id INTEGER NOT NULL, 
	revision INTEGER NOT NULL, 
	governance INTEGER NOT NULL, 
	PRIMARY KEY (id)
)
 STRICT;
CREATE TABLE ticket (
	ticket TEXT NOT NULL, 
	tenant TEXT NOT NULL, 
	idx INTEGER NOT NULL, 
	PRIMARY KEY (ticket)
)
 STRICT;
CREATE TABLE object (
	name TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	digest BLOB NOT NULL, 
	idx INTEGER NOT NULL, 
	PRIMARY KEY (name), 
	FOREIGN KEY(digest) REFERENCES blob (digest)
)
 STRICT;
CREATE TRIGGER log_entry_no_update BEFORE UPDATE ON log_entry BEGIN SELECT RAISE(ABORT, 'log_entry is append-only'); END;
CREATE TRIGGER log_entry_no_delete BEFORE DELETE ON log_entry BEGIN SELECT RAISE(ABORT, 'log_entry is append-only'); END;
CREATE TRIGGER log_root_no_update BEFORE UPDATE ON log_root BEGIN SELECT RAISE(ABORT, 'log_root is append-only'); END;
CREATE TRIGGER log_root_no_delete BEFORE DELETE ON log_root BEGIN SELECT RAISE(ABORT, 'log_root is append-only'); END;
CREATE TRIGGER blob_no_update BEFORE UPDATE ON blob BEGIN SELECT RAISE(ABORT, 'blob is append-only'); END;
CREATE TRIGGER blob_no_delete BEFORE DELETE ON blob BEGIN SELECT RAISE(ABORT, 'blob is append-only'); END;
PRAGMA user_version = 1;
