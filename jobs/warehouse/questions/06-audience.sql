-- marketing: Which items would most people like to be shown, and how many people are they?
-- Users who have the item among their first three.
SELECT item_id, count(*) AS users, avg(score) AS mean_probability
FROM user_recommendations_latest
WHERE rank <= 3
GROUP BY item_id
ORDER BY users DESC, item_id
LIMIT 50;
