# The queue in front of deliver, its dead letters, the gathering of segment changes, and the notices of secrets.

locals {
  # By their names, not their ids: the functions' configuration must be known before anything exists.
  topics = {
    queue   = var.name
    dead    = "${var.name}-dead"
    changes = "${var.name}-changes"
    secrets = "${var.name}-secrets"
  }
  topic_ids        = { for key, name in local.topics : key => "projects/${var.project_id}/topics/${name}" }
  subscription_ids = { for key, name in local.topics : key => "projects/${var.project_id}/subscriptions/${name}" }

  # Both functions put back what has to wait and bury what cannot succeed; both gather changes.
  publishers = merge(
    {
      for pair in setproduct(["receive", "deliver"], ["queue", "dead", "changes"]) : join("-", pair) => {
        topic = pair[1], member = google_service_account.account[pair[0]].member
      }
    },
    { for member in var.publishers : "queue-${member}" => { topic = "queue", member = member } },
    {
      # Without this and the right to acknowledge (below), Pub/Sub never moves a message to the dead letters.
      agent     = { topic = "dead", member = google_project_service_identity.agent["pubsub"].member }
      scheduler = { topic = "queue", member = google_project_service_identity.agent["cloudscheduler"].member }
      secrets   = { topic = "secrets", member = google_project_service_identity.agent["secretmanager"].member }
    },
  )

  subscribers = {
    agent-queue     = { subscription = google_pubsub_subscription.push["queue"].name, agent = true }
    agent-secrets   = { subscription = google_pubsub_subscription.push["secrets"].name, agent = true }
    deliver-changes = { subscription = google_pubsub_subscription.changes.name, agent = false }
  }
}

resource "google_pubsub_topic" "topic" {
  for_each = local.topics

  name         = each.value
  kms_key_name = var.kms_key

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.used, google_kms_crypto_key_iam_member.agent]
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = local.publishers

  topic  = google_pubsub_topic.topic[each.value.topic].name
  role   = "roles/pubsub.publisher"
  member = each.value.member
}

# What calls deliver: its queue, and the notices that a secret has a new version. Of these the test messages stay out
# (TOPIC_CONFIGURED): they have no data, and functions-framework refuses a push without any.
resource "google_pubsub_subscription" "push" {
  for_each = { queue = null, secrets = "hasPrefix(attributes.eventType, \"SECRET_\")" }

  name   = local.topics[each.key]
  topic  = google_pubsub_topic.topic[each.key].id
  filter = each.value
  # At least deliver's timeout, at most 600: a message that is still worked on must not come again.
  ack_deadline_seconds       = 600
  message_retention_duration = "${86400 * var.queue.retention_days}s"

  push_config {
    # The topic stands in the path, since functions-framework makes the event's source of it.
    push_endpoint = "${google_cloudfunctions2_function.function["deliver"].service_config[0].uri}/${local.topic_ids[each.key]}"

    oidc_token {
      service_account_email = google_service_account.account["push"].email
      audience              = google_cloudfunctions2_function.function["deliver"].service_config[0].uri
    }
  }

  retry_policy {
    minimum_backoff = "${var.queue.minimum_backoff_s}s"
    maximum_backoff = "${var.queue.maximum_backoff_s}s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.topic["dead"].id
    max_delivery_attempts = var.queue.attempts
  }

  # Else it is gone after 31 days without a message.
  expiration_policy {
    ttl = ""
  }

  depends_on = [google_service_account_iam_member.push_tokens]
}

# Changes of segments, in the order in which they were published for each bucket of people, until a flush reads them.
resource "google_pubsub_subscription" "changes" {
  name                       = local.topics.changes
  topic                      = google_pubsub_topic.topic["changes"].id
  enable_message_ordering    = true
  ack_deadline_seconds       = 600
  message_retention_duration = "${86400 * var.queue.retention_days}s"

  expiration_policy {
    ttl = ""
  }
}

# Dead letters, until they are replayed or their time is over.
resource "google_pubsub_subscription" "dead" {
  name                       = local.topics.dead
  topic                      = google_pubsub_topic.topic["dead"].id
  ack_deadline_seconds       = 60
  message_retention_duration = "${86400 * var.queue.dead_letter_days}s"

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_subscription_iam_member" "subscriber" {
  for_each = local.subscribers

  subscription = each.value.subscription
  role         = "roles/pubsub.subscriber"
  member       = each.value.agent ? google_project_service_identity.agent["pubsub"].member : google_service_account.account["deliver"].member
}
