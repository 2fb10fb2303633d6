-- marketing: Who should get a coupon, and for what?
-- The undecided, neither sure to buy nor sure not to, who will spend most; with what each likes best.
SELECT scores.user_id, purchase_probability_7d, expected_spend_28d, item_id AS offer
FROM user_scores_latest AS scores
JOIN user_recommendations_latest AS offers ON offers.user_id = scores.user_id AND offers.rank = 1
WHERE purchase_probability_7d BETWEEN 0.2 AND 0.6 AND spend_decile >= 6
ORDER BY expected_spend_28d DESC, scores.user_id
LIMIT 1000;
