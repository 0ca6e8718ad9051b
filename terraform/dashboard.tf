# What an operator sees at one look; the same by day, with every column, is in the views.

locals {
  user_metric = { for key, metric in local.metric_types : key => "metric.type=\"${metric}\" resource.type=\"cloud_run_revision\"" }
  queue       = "resource.type=\"pubsub_subscription\" resource.labels.subscription_id=monitoring.regex.full_match(\"${var.name}(-changes|-dead)?\")"

  charts = [
    { title = "Deliveries by outcome", filter = local.user_metric.deliveries, aligner = "ALIGN_DELTA", by = ["metric.label.outcome"] },
    { title = "Deliveries by kind and connection", filter = local.user_metric.deliveries, aligner = "ALIGN_DELTA", by = ["metric.label.kind", "metric.label.connection"] },
    { title = "Events and people sent to Meta", sum_of = google_logging_metric.metric["rows_sent"].name },
    { title = "Events and people rejected", sum_of = google_logging_metric.metric["rows_rejected"].name },
    { title = "Errors of Meta by code", filter = local.user_metric.errors, aligner = "ALIGN_DELTA", by = ["metric.label.code"] },
    { title = "Meta's answer, p95 in ms", filter = local.user_metric.meta_latency, aligner = "ALIGN_PERCENTILE_95", by = ["metric.label.kind"] },
    { title = "From arrival to outcome, p95 in ms", filter = local.user_metric.relay_latency, aligner = "ALIGN_PERCENTILE_95", by = ["metric.label.kind"] },
    { title = "Meta's limits, used up in percent", filter = local.user_metric.usage, aligner = "ALIGN_PERCENTILE_99", by = ["metric.label.connection"] },
    { title = "Messages that wait", filter = "${local.queue} metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\"", aligner = "ALIGN_MAX", by = ["resource.label.subscription_id"] },
    { title = "Age of the oldest message, in seconds", filter = "${local.queue} metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\"", aligner = "ALIGN_MAX", by = ["resource.label.subscription_id"] },
    { title = "Faults found by the health checks", filter = local.user_metric.findings, aligner = "ALIGN_DELTA", by = ["metric.label.reason"] },
    { title = "Match quality by event", filter = local.user_metric.match_quality, aligner = "ALIGN_PERCENTILE_50", by = ["metric.label.event"] },
  ]
}

resource "google_monitoring_dashboard" "relay" {
  dashboard_json = jsonencode({
    displayName = var.name
    labels      = local.labels
    mosaicLayout = {
      columns = 12
      tiles = [
        for place, chart in local.charts : {
          xPos   = 6 * (place % 2)
          yPos   = 4 * floor(place / 2)
          width  = 6
          height = 4
          widget = {
            title = chart.title
            xyChart = {
              dataSets = [{
                plotType = "LINE"
                timeSeriesQuery = try(
                  # The sum of a distribution's values, which no filter can ask for. Its name in PromQL:
                  # https://cloud.google.com/monitoring/promql/promql-mapping
                  { prometheusQuery = "sum by (kind) (increase(logging_googleapis_com:user_${replace(chart.sum_of, "/[^A-Za-z0-9]/", "_")}_sum[5m]))" },
                  {
                    timeSeriesFilter = {
                      filter = chart.filter
                      aggregation = {
                        alignmentPeriod    = "300s"
                        perSeriesAligner   = chart.aligner
                        crossSeriesReducer = chart.aligner == "ALIGN_DELTA" ? "REDUCE_SUM" : "REDUCE_MAX"
                        groupByFields      = chart.by
                      }
                    }
                  },
                )
              }]
            }
          }
        }
      ]
    }
  })

  depends_on = [time_sleep.metrics]
}
