-- Functions that do the same as before, only faster, may stay.
SELECT 1;
