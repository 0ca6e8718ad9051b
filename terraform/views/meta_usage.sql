-- How much of Meta's limits is used up, and what is left, by the hour.
SELECT
  TIMESTAMP_TRUNC(logged_at, HOUR) AS hour,
  day,
  connection,
  MAX(usage_percent) AS used_percent,
  GREATEST(0, 100 - MAX(usage_percent)) AS left_percent,
  MAX(regain_minutes) AS regain_minutes
FROM
  `${deliveries}`
WHERE
  usage_percent IS NOT NULL OR regain_minutes IS NOT NULL
GROUP BY
  hour, day, connection
