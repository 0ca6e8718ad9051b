# What is planned, for the defaults and for each branch.

mock_provider "google" {}
mock_provider "google-beta" {}
mock_provider "archive" {}
mock_provider "time" {}

variables {
  project_id = "demo-project"
}

run "defaults" {
  command = plan

  assert {
    condition     = keys(google_cloudfunctions2_function.function) == ["deliver", "receive"]
    error_message = "There are two functions."
  }
  assert {
    condition     = alltrue([for function in google_cloudfunctions2_function.function : function.service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"])
    error_message = "Nothing is open unless asked for."
  }
  assert {
    condition     = length(google_cloud_run_v2_service_iam_member.receive_invoker) == 0
    error_message = "Nobody may call receive unless asked for."
  }
  assert {
    condition     = local.document.callers == "iam" && !contains(keys(local.document), "identity") && !contains(keys(local.document), "sources")
    error_message = "What is not asked for is not in the document."
  }
  assert {
    condition     = length(google_kms_crypto_key_iam_member.agent) == 0 && length(google_artifact_registry_repository.images) == 0
    error_message = "Without a key there is nothing of it."
  }
}

run "everything" {
  command = plan

  variables {
    alerts   = { emails = ["oncall@example.com"], channels = ["projects/demo-project/notificationChannels/1"] }
    bigquery = { location = "EU", retention_days = 90, readers = ["group:marketing@example.com"] }
    callers = {
      sgtm  = { actions = ["events", "add", "remove", "enter", "leave"], connections = ["acme"], key_versions = ["latest", "1"] }
      batch = { actions = ["sync", "mirror", "replace", "erase"], connections = ["acme", "globex"], may_lower_consent = true }
    }
    connections = {
      acme = {
        ad_account_id    = "1234567890"
        app_id           = "5001"
        app_secret       = true
        dataset_id       = "3001"
        date_order       = "dmy"
        default_country  = "DE"
        default_currency = "EUR"
        external_id      = "plain"
        normalization    = { name_spaces = "drop", city_marks = "strip", gender_words = { herr = "m" } }
        test_event_code  = "TEST1"
        token_version    = "2"
      }
      globex = { ad_account_id = "2234567890", dataset_id = "4001" }
    }
    consent             = { events = ["ad_storage"], audiences = ["ad_user_data"], segments = ["ad_user_data"], absent = "granted" }
    default_connection  = "acme"
    deletion_protection = false
    event_enhancement   = true
    functions           = { receive = { memory = "1Gi", cpu = "2", concurrency = 80, min_instances = 1, max_instances = 20 } }
    graph_api           = { version = "v25.0", url = "https://graph.example.com", timeout_s = 5 }
    identity = {
      endpoint      = "https://identity.example.com/api/v1/identifier"
      send          = ["anonymous_id"]
      cache_s       = 30
      timeout_ms    = 500
      anonymous_id  = "client_id"
      keep_days     = 180
      shared_values = ["info@example.com"]
      user_id       = true
      limits        = { per_device = 2, per_phone = 2, per_person = 4, devices = 50 }
      enrich        = { external_id = false, fields = ["em", "ph"], fbc = "last", look_back_days = 30 }
    }
    invokers            = ["serviceAccount:sgtm@other-project.iam.gserviceaccount.com"]
    kms_key             = "projects/demo-project/locations/europe-west1/keyRings/relay/cryptoKeys/relay"
    labels              = { team = "marketing" }
    log_level           = "WARNING"
    minimum_identifiers = [["EMAIL"], ["FN", "LN", "ZIP"]]
    public              = true
    publishers          = ["serviceAccount:cdp@other-project.iam.gserviceaccount.com"]
    segments = {
      prefix     = "CDP_"
      mapping    = { EMAIL = ["email", "hashed_email"], PHONE = ["phone"] }
      mappings   = { "44A23B49" = { EMAIL = ["contact.email"] } }
      max_shrink = 0.25
      on_deleted = "report"
    }
    sources = {
      vip   = { bigquery = { table = "demo-project.crm.vip" }, row_id = "customer", schedule = "5 3 * * *", segment = { id = "vip", name = "VIP" }, change = "mirror" }
      query = { bigquery = { query = "SELECT email FROM `demo-project.crm.buyers`" }, reads = ["demo-project.crm.buyers"] }
      files = { bucket = { uri = "gs://demo-files/members.csv.gz", format = "csv" } }
    }
    vpc_egress = { network = "relay", subnetwork = "relay", traffic = "all_traffic", tags = ["meta"] }
  }

  assert {
    condition     = google_cloudfunctions2_function.function["receive"].service_config[0].ingress_settings == "ALLOW_ALL"
    error_message = "What is public can be reached."
  }
  assert {
    condition     = google_cloudfunctions2_function.function["deliver"].service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
    error_message = "deliver is never open."
  }
  assert {
    condition     = keys(google_cloud_run_v2_service_iam_member.receive_invoker) == ["allUsers", "serviceAccount:sgtm@other-project.iam.gserviceaccount.com"]
    error_message = "Those who were named may call receive."
  }
  assert {
    condition     = google_cloudfunctions2_function.function["deliver"].service_config[0].direct_vpc_egress == "VPC_EGRESS_ALL_TRAFFIC"
    error_message = "Calls go out through the network."
  }
  assert {
    condition     = keys(local.secrets) == ["app-secret-acme", "event-enhancement", "identity", "identity-key", "key-batch", "key-sgtm", "token-acme", "token-globex"]
    error_message = "Each credential has a secret."
  }
}

run "identity_graph" {
  command = plan

  variables {
    identity = { firestore = true }
    kms_key  = "projects/demo-project/locations/europe-west1/keyRings/relay/cryptoKeys/relay"
  }

  assert {
    condition     = local.document.identity == { firestore = { database = "meta-relay", collection = "people" }, key = "projects/demo-project/secrets/meta-relay-identity-key/versions/latest" }
    error_message = "The functions are told of the database and of the key."
  }
  assert {
    condition     = google_firestore_field.expires_at[0].collection == "people" && length(google_firestore_field.expires_at[0].ttl_config) == 1
    error_message = "Documents end by themselves."
  }
  assert {
    condition     = contains(keys(google_project_iam_member.account), "deliver-identity")
    error_message = "Both functions may use the database."
  }
}
