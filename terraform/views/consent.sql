-- What was withheld for want of consent, by signal; a request that lacked two signals counts for both.
SELECT
  day,
  kind,
  connection,
  signal,
  COUNT(*) AS requests,
  SUM(rows_received) AS rows_withheld
FROM
  `${deliveries}`,
  UNNEST(SPLIT(consent_missing, ', ')) AS signal
WHERE
  outcome = 'withheld'
GROUP BY
  day, kind, connection, signal
