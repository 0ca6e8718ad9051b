# What happens by the clock: each job publishes a message that deliver takes, with the queue's retries and dead letters.

locals {
  jobs = merge(
    {
      flush  = { schedule = var.schedule.flush, description = "Sends the gathered changes of segments.", type = "flush", body = {} }
      health = { schedule = var.schedule.health, description = "Looks after tokens, accounts, datasets and audiences.", type = "health", body = {} }
    },
    {
      for name, source in local.sources : "source-${name}" => {
        schedule    = source.schedule
        description = "Sends the segment of the source ${name}."
        type        = "segments"
        body        = { segment = source.segment, change = source.change, source = name }
      } if can(source.schedule)
    },
  )
}

resource "google_cloud_scheduler_job" "job" {
  for_each = local.jobs

  name        = "${var.name}-${each.key}"
  region      = var.region
  description = each.value.description
  schedule    = each.value.schedule
  time_zone   = var.schedule.time_zone

  pubsub_target {
    topic_name = google_pubsub_topic.topic["queue"].id
    data       = base64encode(jsonencode(each.value.body))
    attributes = { type = each.value.type }
  }

  retry_config {
    retry_count = 3
  }

  depends_on = [google_pubsub_topic_iam_member.publisher]
}
