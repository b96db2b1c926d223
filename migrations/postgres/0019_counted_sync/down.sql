-- What counts may go on counting.
SELECT;
