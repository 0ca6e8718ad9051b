# Each validation fails for what it is there for. A run breaks one validation of each of several variables; those that
# look at connections or callers do so while these are sound. tests/test_terraform.py sees that none is left out.

mock_provider "google" {}
mock_provider "google-beta" {}
mock_provider "archive" {}
mock_provider "time" {}

variables {
  project_id = "demo-project"
}

run "round_1" {
  command = plan

  variables {
    # An e-mail address is none.
    alerts = { emails = ["oncall"] }
    # Rows are kept for a day.
    bigquery = { retention_days = 1, view_days = 1 }
    # There is no connection.
    connections = {}
    # A signal is not known.
    consent = { events = ["ad_money"] }
    # Memory has no unit.
    functions = { deliver = { memory = "512" } }
    # A version has no number.
    graph_api = { version = "latest" }
    # Identity is asked in clear text.
    identity = { endpoint = "http://identity.example.com" }
    # Everybody may call without being asked.
    invokers = ["allUsers"]
    # A key is a name.
    kms_key = "my-key"
    # A level is not known.
    log_level = "LOUD"
    # Nothing names a person.
    minimum_identifiers = [[]]
    # A name is too long for its accounts.
    name = "a-name-that-is-longer-than-it-may-be"
    # A project is a number.
    project_id = "1234567890"
    # Everybody may publish.
    publishers = ["allAuthenticatedUsers"]
    # A message is tried once.
    queue = { attempts = 1 }
    # A region is a continent.
    region = "europe"
    # A runtime is not tested.
    runtime = "python39"
    # A schedule is a word.
    schedule = { health = "hourly" }
    # A secret is always due.
    secrets = { rotation_days = 0 }
    # An audience may shrink to less than nothing.
    segments = { max_shrink = 2 }
    # A source has an odd name.
    sources = { "V IP" = { bigquery = { table = "p.crm.vip" } } }
    # Traffic is some.
    vpc_egress = { network = "n", subnetwork = "s", traffic = "some" }
  }

  expect_failures = [var.alerts, var.bigquery, var.connections, var.consent, var.functions, var.graph_api, var.identity, var.invokers, var.kms_key, var.log_level, var.minimum_identifiers, var.name, var.project_id, var.publishers, var.queue, var.region, var.runtime, var.schedule, var.secrets, var.segments, var.sources, var.vpc_egress]
}

run "round_2" {
  command = plan

  variables {
    # A channel is no id.
    alerts = { channels = ["oncall"] }
    # Views look back further than rows are kept.
    bigquery = { retention_days = 30, view_days = 31 }
    # A connection has an odd name.
    connections = { "A cme" = {} }
    # Absent is perhaps.
    consent = { absent = "perhaps" }
    # Half a processor works on many requests.
    functions = { receive = { cpu = "0.5" } }
    # Meta is asked in clear text.
    graph_api = { url = "http://graph.facebook.com" }
    # Identity is nowhere.
    identity = {}
    # The backoff shrinks.
    queue = { minimum_backoff_s = 100, maximum_backoff_s = 10 }
    # A version is gone at once.
    secrets = { destroy_after_days = 0 }
    # A deleted audience is mourned.
    segments = { on_deleted = "mourn" }
    # A source is two.
    sources = { vip = { bigquery = { table = "p.crm.vip", query = "SELECT 1" } } }
  }

  expect_failures = [var.alerts, var.bigquery, var.connections, var.consent, var.functions, var.graph_api, var.identity, var.queue, var.secrets, var.segments, var.sources]
}

run "round_3" {
  command = plan

  variables {
    # A share is all.
    alerts = { failure_share = 1 }
    # A reader is everybody.
    bigquery = { readers = ["allUsers"] }
    # A dataset is a path.
    connections = { meta = { dataset_id = "1/2" } }
    # More instances than the most are kept.
    functions = { receive = { min_instances = 11 } }
    # A call takes an hour.
    graph_api = { timeout_s = 3600 }
    # Identity is in two places.
    identity = { firestore = true, endpoint = "https://identity.example.com" }
    # Dead letters are kept for a year.
    queue = { dead_letter_days = 365 }
    # A table has no project.
    sources = { vip = { bigquery = { table = "crm.vip" } } }
  }

  expect_failures = [var.alerts, var.bigquery, var.connections, var.functions, var.graph_api, var.identity, var.queue, var.sources]
}

run "round_4" {
  command = plan

  variables {
    # A message is old at once.
    alerts = { oldest_message_s = 10 }
    # A date order is not known.
    connections = { meta = { date_order = "ymd" } }
    # Receive takes two hours.
    functions = { receive = { timeout_s = 7200 } }
    # Identity has no time.
    identity = { firestore = true, timeout_ms = 0 }
    # A bucket is a path.
    sources = { vip = { bucket = { uri = "/members.csv", format = "csv" } } }
  }

  expect_failures = [var.alerts, var.connections, var.functions, var.identity, var.sources]
}

run "round_5" {
  command = plan

  variables {
    # Silence is a day.
    alerts = { silence_h = 24 }
    # A country is a name.
    connections = { meta = { default_country = "Germany" } }
    # Deliver takes longer than Pub Sub waits.
    functions = { deliver = { timeout_s = 600 } }
    # People are known for ever.
    identity = { firestore = true, keep_days = 10000 }
    # A schedule has no segment.
    sources = { vip = { bigquery = { table = "p.crm.vip" }, schedule = "5 3 * * *", change = "sync" } }
  }

  expect_failures = [var.alerts, var.connections, var.functions, var.identity, var.sources]
}

run "round_6" {
  command = plan

  variables {
    # A currency is a sign.
    connections = { meta = { default_currency = "€" } }
    # Ingress is not known.
    functions = { receive = { ingress = "ALLOW_INTERNAL" } }
    # Any click counts.
    identity = { firestore = true, enrich = { fbc = "any" } }
    # A change is not known.
    sources = { vip = { bigquery = { table = "p.crm.vip" }, change = "empty" } }
  }

  expect_failures = [var.connections, var.functions, var.identity, var.sources]
}

run "round_7" {
  command = plan

  variables {
    # External ids are encrypted.
    connections = { meta = { external_id = "encrypt" } }
  }

  expect_failures = [var.connections]
}

run "round_8" {
  command = plan

  variables {
    # Name spaces are doubled.
    connections = { meta = { normalization = { name_spaces = "double" } } }
  }

  expect_failures = [var.connections]
}

run "round_9" {
  command = plan

  variables {
    # City marks are doubled.
    connections = { meta = { normalization = { city_marks = "double" } } }
  }

  expect_failures = [var.connections]
}

run "round_10" {
  command = plan

  variables {
    # A token has no such version.
    connections = { meta = { token_version = "newest" } }
  }

  expect_failures = [var.connections]
}

run "round_11" {
  command = plan

  variables {
    # A caller has an odd name.
    callers = { "S GTM" = {} }
    # The default is not among the connections.
    default_connection = "acme"
  }

  expect_failures = [var.callers, var.default_connection]
}

run "round_12" {
  command = plan

  variables {
    # An action is not known.
    callers = { sgtm = { actions = ["delete"] } }
  }

  expect_failures = [var.callers]
}

run "round_13" {
  command = plan

  variables {
    # A caller has a connection that is not there.
    callers = { sgtm = { connections = ["acme"] } }
  }

  expect_failures = [var.callers]
}

run "round_14" {
  command = plan

  variables {
    # A key has no such version.
    callers = { sgtm = { key_versions = ["newest"] } }
  }

  expect_failures = [var.callers]
}

run "round_15" {
  command = plan

  variables {
    # Anybody may send anything.
    public = true
  }

  expect_failures = [var.public]
}
