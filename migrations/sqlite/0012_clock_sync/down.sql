DROP TABLE sync_clock;
