-- inventory: What to reorder, for which week?
-- Week 1 begins on the cutoff. Means of days add up to the mean of the week. Quantiles do not:
-- seven daily p90 together are no p90 of the week (in one log 94 % of the weeks lay below them).
-- Until totals are forecast, order by the mean, with stock for a day as high as highest_day_p90.
SELECT item_id, CAST(floor((target_date - cutoff) / 7.0) AS INTEGER) + 1 AS week,
       min(target_date) AS week_from, sum(expected_units) AS expected_units,
       max(units_p90) AS highest_day_p90
FROM item_demand_latest
GROUP BY item_id, CAST(floor((target_date - cutoff) / 7.0) AS INTEGER)
ORDER BY week, expected_units DESC, item_id;
