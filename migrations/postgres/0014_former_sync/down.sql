-- A function that keeps less than before may stay.
SELECT 1;
