# A key of one's own: each service encrypts as an agent of its own, and functions want their images under the key too.

locals {
  encrypters = var.kms_key == null ? {} : merge(
    { for service in local.agents : service => google_project_service_identity.agent[service].member if service != "cloudscheduler" },
    {
      bigquery = "serviceAccount:${data.google_bigquery_default_service_account.agent[0].email}"
      storage  = "serviceAccount:${data.google_storage_project_service_account.agent[0].email_address}"
    },
  )
}

data "google_bigquery_default_service_account" "agent" {
  count      = var.kms_key == null ? 0 : 1
  depends_on = [google_project_service.used]
}

data "google_storage_project_service_account" "agent" {
  count      = var.kms_key == null ? 0 : 1
  depends_on = [google_project_service.used]
}

resource "google_kms_crypto_key_iam_member" "agent" {
  for_each = local.encrypters

  crypto_key_id = var.kms_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value
}

resource "google_artifact_registry_repository" "images" {
  count = var.kms_key == null ? 0 : 1

  repository_id = "${var.name}-images"
  location      = var.region
  format        = "DOCKER"
  description   = "Images of both functions."
  kms_key_name  = var.kms_key

  cleanup_policies {
    id     = "keep-three"
    action = "KEEP"
    most_recent_versions {
      keep_count = 3
    }
  }

  cleanup_policies {
    id     = "delete-older"
    action = "DELETE"
    condition {
      older_than = "604800s"
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.agent]
}
