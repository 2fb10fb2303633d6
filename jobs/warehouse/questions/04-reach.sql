-- marketing: How many buyers does a campaign reach if it goes to the best tenth, two tenths, …?
-- Probabilities add up to expected buyers.
SELECT purchase_decile, count(*) AS users, sum(purchase_probability_7d) AS expected_buyers,
       sum(sum(purchase_probability_7d)) OVER (ORDER BY purchase_decile DESC)
           / sum(sum(purchase_probability_7d)) OVER () AS share_reached
FROM user_scores_latest
GROUP BY purchase_decile
ORDER BY purchase_decile DESC;
