# Secrets without their values, which never touch Terraform's state: README.md says how to add a version.

locals {
  # Which function reads it, by the part of its name after the deployment's.
  secrets = merge(
    { for name in keys(var.connections) : "token-${name}" => ["receive", "deliver"] },
    { for name, connection in var.connections : "app-secret-${name}" => ["receive", "deliver"] if connection.app_secret },
    { for name in keys(coalesce(var.callers, {})) : "key-${name}" => ["receive"] },
    try(var.identity.endpoint, null) == null ? {} : { identity = ["receive", "deliver"] },
    local.identity_key ? { identity-key = ["receive", "deliver"] } : {},
    var.event_enhancement ? { event-enhancement = ["receive", "deliver"] } : {},
  )
  secret_ids = { for name in keys(local.secrets) : name => "projects/${var.project_id}/secrets/${var.name}-${name}" }
  versions = {
    identity          = "projects/${var.project_id}/secrets/${var.name}-identity/versions/latest"
    identity_key      = "projects/${var.project_id}/secrets/${var.name}-identity-key/versions/latest"
    event_enhancement = "projects/${var.project_id}/secrets/${var.name}-event-enhancement/versions/latest"
  }

  accessors = merge([
    for name, functions in local.secrets : { for function in functions : "${name}-${function}" => { secret = name, function = function } }
  ]...)
}

resource "google_secret_manager_secret" "secret" {
  for_each = local.secrets

  secret_id           = "${var.name}-${each.key}"
  version_destroy_ttl = "${86400 * var.secrets.destroy_after_days}s"
  deletion_protection = var.deletion_protection

  replication {
    user_managed {
      replicas {
        location = var.region

        dynamic "customer_managed_encryption" {
          for_each = var.kms_key == null ? [] : [var.kms_key]
          content {
            kms_key_name = customer_managed_encryption.value
          }
        }
      }
    }
  }

  # Tells deliver of each new version, and that one is due.
  topics {
    name = google_pubsub_topic.topic["secrets"].id
  }

  rotation {
    rotation_period    = "${86400 * var.secrets.rotation_days}s"
    next_rotation_time = timeadd(plantimestamp(), "${24 * var.secrets.rotation_days}h")
  }

  lifecycle {
    # Secret Manager moves it on.
    ignore_changes = [rotation[0].next_rotation_time]
  }

  depends_on = [google_pubsub_topic_iam_member.publisher, google_kms_crypto_key_iam_member.agent]
}

resource "google_secret_manager_secret_iam_member" "accessor" {
  for_each = local.accessors

  secret_id = google_secret_manager_secret.secret[each.value.secret].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.account[each.value.function].member
}
