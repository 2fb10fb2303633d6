-- inventory: Where is the forecast least sure, so that stock needs the most room?
-- Units between the middle and the high end, over the next 7 days.
SELECT item_id, sum(units_p50) AS middle, sum(units_p90) AS high,
       sum(units_p90) - sum(units_p50) AS room
FROM item_demand_latest
WHERE target_date < cutoff + 7
GROUP BY item_id
ORDER BY room DESC, item_id
LIMIT 100;
