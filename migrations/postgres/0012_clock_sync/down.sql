DROP TABLE ryzed.clock;
