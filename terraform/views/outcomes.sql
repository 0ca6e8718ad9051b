-- Events and people by day, connection and outcome.
SELECT
  day,
  kind,
  connection,
  destination,
  action,
  outcome,
  COUNT(*) AS calls,
  SUM(rows_received) AS rows_received,
  SUM(rows_sent) AS rows_sent,
  SUM(rows_rejected) AS rows_rejected,
  SUM(num_received) AS received_by_meta,
  SUM(num_invalid_entries) AS invalid_by_meta
FROM
  `${deliveries}`
GROUP BY
  day, kind, connection, destination, action, outcome
