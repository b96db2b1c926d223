-- A function that tells no less than before may stay.
DROP POLICY own ON ryzed.passed;
