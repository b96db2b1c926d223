DROP TABLE ryzed.presence;
DROP TABLE ryzed.instances;
