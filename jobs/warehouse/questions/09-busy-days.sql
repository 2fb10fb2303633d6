-- inventory: On which days will most go out, so that hands are needed?
SELECT target_date, sum(expected_units) AS expected_units
FROM item_demand_latest
GROUP BY target_date
ORDER BY expected_units DESC, target_date
LIMIT 7;
