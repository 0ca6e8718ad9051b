-- How many events found a known person, by whom, and what that added.
SELECT
  day,
  connection,
  COALESCE(identity_source, 'nobody') AS recognised_by,
  COALESCE(identity_outcome, 'not asked') AS known_before,
  COUNT(*) AS calls,
  SUM(rows_sent) AS events,
  SUM(identity_fields_added) AS fields_added,
  AVG(identity_ms) AS mean_ms
FROM
  `${deliveries}`
WHERE
  kind = 'events' AND outcome IN ('delivered', 'partial')
GROUP BY
  day, connection, recognised_by, known_before
