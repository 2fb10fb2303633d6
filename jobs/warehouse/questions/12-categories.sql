-- inventory: Which categories sell most in the coming week, how high may one of its days be, by how many items?
-- A category's p90 of a day is its own: much below the sum of its items', which do not all sell
-- high at once. It is no p90 of the week.
SELECT c.category, sum(c.expected_units) AS expected_units, max(c.units_p90) AS highest_day_p90,
       max(i.num_items) AS num_items
FROM category_demand_latest AS c
JOIN (
    SELECT category, count(DISTINCT item_id) AS num_items
    FROM item_demand_latest
    GROUP BY category
) AS i ON i.category = c.category
WHERE c.target_date < c.cutoff + 7
GROUP BY c.category
ORDER BY expected_units DESC, c.category;
