-- inventory: Which categories sell most in the coming week, how much on their busiest day at most, by how many items?
-- A category's p90 is its own: much below the sum of its items', which do not all sell high at once.
SELECT c.category, sum(c.expected_units) AS expected_units, max(c.units_p90) AS at_most_a_day,
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
