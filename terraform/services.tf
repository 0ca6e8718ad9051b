# The services that are used, and the agents through which Google acts in the project.

locals {
  labels = merge({ app = var.name }, var.labels)

  services = setunion(
    [
      "artifactregistry", "bigquery", "cloudbuild", "cloudfunctions", "cloudresourcemanager", "cloudscheduler", "iam",
      "logging", "monitoring", "pubsub", "run", "secretmanager", "storage",
    ],
    local.firestore ? ["firestore"] : [],
    var.kms_key == null ? [] : ["cloudkms"],
    var.vpc_egress == null ? [] : ["compute"],
  )

  agents = setunion(
    ["pubsub", "secretmanager", "cloudscheduler"],
    var.kms_key == null ? [] : ["artifactregistry", "cloudfunctions", "run"],
    var.kms_key != null && local.firestore ? ["firestore"] : [],
  )
}

resource "google_project_service" "used" {
  for_each = local.services

  service = "${each.key}.googleapis.com"
  # Others in the project may use them too.
  disable_on_destroy = false
}

# An agent does not exist before somebody asks for it, and what does not exist can be granted nothing.
resource "google_project_service_identity" "agent" {
  for_each = local.agents
  provider = google-beta

  service    = "${each.key}.googleapis.com"
  depends_on = [google_project_service.used]
}

# IAM is eventually consistent: a build or an alert that starts at once finds neither its role nor its metric.
resource "time_sleep" "grants" {
  create_duration = "60s"
  triggers        = { grants = jsonencode([for grant in google_project_iam_member.account : grant.id]) }
  depends_on      = [google_storage_bucket_iam_member.build]
}
