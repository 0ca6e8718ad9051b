-- How long relay and Meta take, in milliseconds.
SELECT
  day,
  kind,
  caller,
  COUNT(*) AS calls,
  APPROX_QUANTILES(elapsed_ms, 100)[OFFSET(50)] AS relay_p50,
  APPROX_QUANTILES(elapsed_ms, 100)[OFFSET(95)] AS relay_p95,
  APPROX_QUANTILES(elapsed_ms, 100)[OFFSET(99)] AS relay_p99,
  APPROX_QUANTILES(graph_ms, 100)[OFFSET(50)] AS meta_p50,
  APPROX_QUANTILES(graph_ms, 100)[OFFSET(95)] AS meta_p95,
  APPROX_QUANTILES(graph_ms, 100)[OFFSET(99)] AS meta_p99
FROM
  `${deliveries}`
WHERE
  graph_ms IS NOT NULL
GROUP BY
  day, kind, caller
