-- Meta's match quality, coverage and freshness of each event by day.
SELECT
  DATE(logged_at) AS day,
  connection,
  subject AS dataset,
  event_name,
  AVG(IF(kind = 'match_quality', match_quality, NULL)) AS match_quality,
  AVG(IF(kind = 'match_quality_trend', match_quality_before, NULL)) AS week_before,
  AVG(coverage_percent) AS coverage_percent,
  AVG(coverage_goal_percent) AS coverage_goal_percent,
  MAX(upload_frequency) AS upload_frequency
FROM
  `${health_log}`
WHERE
  logged_at >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL ${view_days} DAY)
  AND kind IN ('match_quality', 'match_quality_trend', 'coverage', 'freshness')
  AND event_name IS NOT NULL
GROUP BY
  day, connection, dataset, event_name
