DROP TRIGGER IF EXISTS count_changes_insert;
DROP TRIGGER IF EXISTS count_changes_update;
DROP TRIGGER IF EXISTS count_changes_move;
DROP TRIGGER IF EXISTS count_changes_delete;
DROP TABLE sync_sums;
