terraform {
  # 1.9: a validation may refer to another variable.
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.40, < 9.0"
    }
    # For one thing: the service agents, which nobody but `google_project_service_identity` brings into being.
    google-beta = {
      source  = "hashicorp/google-beta"
      version = ">= 7.40, < 9.0"
    }
    archive = {
      source  = "hashicorp/archive"
      version = "~> 2.7"
    }
    time = {
      source  = "hashicorp/time"
      version = "~> 0.13"
    }
  }

  # Its bucket is given to `terraform init`; see README.md.
  backend "gcs" {}
}

provider "google" {
  project        = var.project_id
  region         = var.region
  default_labels = local.labels
}

provider "google-beta" {
  project        = var.project_id
  region         = var.region
  default_labels = local.labels
}
