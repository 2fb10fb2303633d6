-- inventory: If every user is offered their first item, how much of each has to be there?
-- Buyers times items offered, beside what will sell anyway in those 7 days.
WITH offered AS (
    SELECT offers.item_id, count(*) AS users, sum(purchase_probability_7d) AS expected_buyers
    FROM user_recommendations_latest AS offers
    JOIN user_scores_latest AS scores ON scores.user_id = offers.user_id
    WHERE offers.rank = 1
    GROUP BY offers.item_id
),
demand AS (
    SELECT item_id, sum(expected_units) AS expected_units
    FROM item_demand_latest
    WHERE target_date < cutoff + 7
    GROUP BY item_id
)
SELECT offered.item_id, users, expected_buyers, expected_units
FROM offered
LEFT JOIN demand ON demand.item_id = offered.item_id
ORDER BY expected_buyers DESC, offered.item_id
LIMIT 100;
