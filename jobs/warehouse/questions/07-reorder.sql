-- inventory: What to reorder, for which week?
-- Week 1 begins on the cutoff. Days do not all sell high at once: the sum of p90 is a safe upper end.
SELECT item_id, CAST(floor((target_date - cutoff) / 7.0) AS INTEGER) + 1 AS week,
       min(target_date) AS week_from, sum(expected_units) AS expected_units,
       sum(units_p90) AS at_most
FROM item_demand_latest
GROUP BY item_id, CAST(floor((target_date - cutoff) / 7.0) AS INTEGER)
ORDER BY week, expected_units DESC, item_id;
