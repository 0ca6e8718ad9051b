# Both functions. Neither has an event trigger: the subscription that one makes cannot be given a dead-letter topic, so
# `deliver` is called by a subscription of our own.

locals {
  functions = {
    receive = merge(var.functions.receive, {
      description = "Meta Relay: takes requests over HTTP"
      ingress     = coalesce(var.functions.receive.ingress, var.public ? "ALLOW_ALL" : "ALLOW_INTERNAL_ONLY")
    })
    deliver = merge(var.functions.deliver, {
      description = "Meta Relay: takes messages of Pub/Sub"
      ingress     = "ALLOW_INTERNAL_ONLY"
    })
  }

  # What lib/bootstrap.py reads.
  environment = {
    for name, function in local.functions : name => {
      GOOGLE_CLOUD_PROJECT = var.project_id
      RELAY_CONFIG         = local.configuration
      # As many as the instance is given, or requests wait behind one another.
      THREADS = tostring(function.concurrency)
    }
  }
}

resource "google_cloudfunctions2_function" "function" {
  for_each = local.functions

  name         = "${var.name}-${each.key}"
  location     = var.region
  description  = each.value.description
  kms_key_name = var.kms_key

  build_config {
    runtime           = var.runtime
    entry_point       = each.key
    service_account   = google_service_account.account["build"].id
    docker_repository = one(google_artifact_registry_repository.images[*].id)

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source.name
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.account[each.key].email
    environment_variables            = local.environment[each.key]
    available_memory                 = each.value.memory
    available_cpu                    = each.value.cpu
    max_instance_request_concurrency = each.value.concurrency
    min_instance_count               = each.value.min_instances
    max_instance_count               = each.value.max_instances
    timeout_seconds                  = each.value.timeout_s
    ingress_settings                 = each.value.ingress
    direct_vpc_egress                = try("VPC_EGRESS_${upper(var.vpc_egress.traffic)}", null)

    dynamic "direct_vpc_network_interface" {
      for_each = var.vpc_egress == null ? [] : [var.vpc_egress]
      content {
        network    = direct_vpc_network_interface.value.network
        subnetwork = direct_vpc_network_interface.value.subnetwork
        tags       = direct_vpc_network_interface.value.tags
      }
    }
  }

  lifecycle {
    precondition {
      # "Maximum size of environment variables: 32 KiB" -- https://cloud.google.com/run/quotas
      condition     = length(local.configuration) <= 30000
      error_message = "The configuration document is larger than the 30,000 characters that an environment variable holds; name fewer gender_words, mappings or connections."
    }
  }

  depends_on = [
    time_sleep.grants,
    google_kms_crypto_key_iam_member.agent,
    google_pubsub_topic.topic,
    google_bigquery_table.log,
  ]
}
