-- inventory: Where is the forecast least sure, so that stock needs the most room?
-- Units of one day between its middle and its high end, the mean of the next 7 days. Quantiles of
-- days do not add up to those of the week.
SELECT item_id, avg(units_p50) AS middle_of_a_day, avg(units_p90) AS high_of_a_day,
       avg(units_p90) - avg(units_p50) AS room_a_day
FROM item_demand_latest
WHERE target_date < cutoff + 7
GROUP BY item_id
ORDER BY room_a_day DESC, item_id
LIMIT 100;
