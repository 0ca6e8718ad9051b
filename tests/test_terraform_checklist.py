"""What a deployment must be, point by point, held against the plans of the defaults and of everything switched on."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from lib.member_table import SCHEMA_FILE, TABLE
from tests import hcl, terraform
from tests.terraform import Plan, Workspace

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(600)]

#: Roles on the project, the only ones, and whom they are for.
_PROJECT_ROLES: Final[Mapping[str, set[str]]] = {
    "roles/bigquery.jobUser": {"receive-queries", "deliver-queries"},
    "roles/logging.logWriter": {"build-logs"},
    "roles/artifactregistry.writer": {"build-image"},
    "roles/storage.objectViewer": {"build-source"},
    "roles/datastore.user": {"receive-identity", "deliver-identity"},
}
#: Roles on a resource.
_RESOURCE_ROLES: Final = {
    "roles/run.invoker",
    "roles/iam.serviceAccountTokenCreator",
    "roles/storage.objectViewer",
    "roles/pubsub.publisher",
    "roles/pubsub.subscriber",
    "roles/secretmanager.secretAccessor",
    "roles/bigquery.dataEditor",
    "roles/bigquery.dataViewer",
    "roles/cloudkms.cryptoKeyEncrypterDecrypter",
}
_SECONDS_A_DAY: Final = 86_400


@pytest.fixture(params=["defaults", "everything", "identity_graph"])
def plan(request: pytest.FixtureRequest, plans: dict[str, Plan]) -> Plan:
    return plans[request.param]


def text_of(*names: str) -> str:
    """Return the text of .tf files, of all of them unless named."""
    files = [terraform.FOLDER / name for name in names] or sorted(terraform.FOLDER.glob("*.tf"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def key(address: str) -> str:
    """Return the key of an instance that `for_each` makes."""
    (found,) = re.findall(r'\["(.*)"\]$', address)
    return str(found)


def seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


def grants(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from ((address, one) for address, one in plan.resources.items() if "_iam_member." in address)


def test_01_it_is_formatted_and_valid(workspace: Workspace) -> None:
    """With each major of the provider: `make check` runs with one, and .ci/run with both."""
    assert workspace.run("fmt", "-check", "-recursive").returncode == 0
    assert workspace.run("validate").returncode == 0


def test_02_versions_are_bounded() -> None:
    versions = dict(re.findall(r'(\w[\w-]*) = \{\n +source  = "hashicorp/[\w-]+"\n +version = "(.*)"', text_of()))
    assert versions.keys() == {"google", "google-beta", "archive", "time"}
    assert all(re.fullmatch(r">= [\d.]+, < [\d.]+|~> [\d.]+", version) for version in versions.values())
    assert 'required_version = ">= 1.9"' in text_of("versions.tf")


def test_03_state_is_remote_and_holds_no_secret(plan: Plan) -> None:
    assert 'backend "gcs" {}' in text_of("versions.tf")
    assert not plan.of_type("google_secret_manager_secret_version")
    assert "secret_data" not in text_of()
    environment = json.dumps([one["environment"] for one in plan.functions().values()])
    assert not re.search(r"EAA[A-Za-z0-9]{20}|-----BEGIN|AIza", environment)


def test_04_nobody_is_everybody_unless_asked_for(plans: dict[str, Plan]) -> None:
    open_to_all = {
        name: [address for address, one in grants(plans[name]) if str(one.get("member")).startswith("all")]
        for name in ("defaults", "everything")
    }
    assert open_to_all == {
        "defaults": [],
        "everything": ['google_cloud_run_v2_service_iam_member.receive_invoker["allUsers"]'],
    }


def test_05_no_basic_role_and_no_agents_role_is_granted(plan: Plan) -> None:
    roles = {one["role"] for _, one in grants(plan)}
    assert roles <= _RESOURCE_ROLES | _PROJECT_ROLES.keys()
    assert not [role for role in roles if role in {"roles/owner", "roles/editor", "roles/viewer"} or "Agent" in role]


def test_06_each_job_has_its_account(plan: Plan) -> None:
    accounts = plan.of_type("google_service_account")
    assert sorted(key(address) for address in accounts) == ["build", "deliver", "push", "receive"]
    for address in plan.of_type("google_cloudfunctions2_function"):
        assert plan.unknown[address]["service_config"][0]["service_account_email"] is True
    assert "service_account_email            = google_service_account.account[each.key].email" in text_of()


def test_07_roles_on_the_project_are_the_named_few(plan: Plan) -> None:
    for address, one in plan.of_type("google_project_iam_member").items():
        assert key(address) in _PROJECT_ROLES[one["role"]]
        assert ("condition" in one and bool(one["condition"])) == (one["role"] == "roles/datastore.user")


def test_08_grants_leave_those_of_others_alone(plan: Plan) -> None:
    kinds = {address.partition(".")[0] for address in plan.resources}
    assert not [kind for kind in kinds if kind.endswith(("_iam_binding", "_iam_policy"))]


def test_09_the_build_has_an_account_of_its_own(plan: Plan) -> None:
    for address in plan.of_type("google_cloudfunctions2_function"):
        assert plan.unknown[address]["build_config"][0]["service_account"] is True
    assert 'service_account   = google_service_account.account["build"].id' in text_of("functions.tf")


def test_10_callers_are_named_on_the_service(plan: Plan) -> None:
    invoked = [address for address, one in grants(plan) if one["role"] == "roles/run.invoker"]
    assert invoked
    assert {address.partition(".")[0] for address in invoked} == {"google_cloud_run_v2_service_iam_member"}


def test_11_googles_agents_may_do_their_part(plan: Plan) -> None:
    publishers = plan.of_type("google_pubsub_topic_iam_member")
    assert publishers['google_pubsub_topic_iam_member.publisher["agent"]']["topic"] == "meta-relay-dead"
    assert publishers['google_pubsub_topic_iam_member.publisher["secrets"]']["topic"] == "meta-relay-secrets"
    assert publishers['google_pubsub_topic_iam_member.publisher["scheduler"]']["topic"] == "meta-relay"
    acknowledged = {
        one["subscription"]
        for address, one in plan.of_type("google_pubsub_subscription_iam_member").items()
        if key(address).startswith("agent-")
    }
    with_dead_letters = {
        one["name"] for one in plan.of_type("google_pubsub_subscription").values() if one["dead_letter_policy"]
    }
    assert acknowledged == with_dead_letters == {"meta-relay", "meta-relay-secrets"}
    assert plan.of_type("google_service_account_iam_member")


def test_12_services_are_switched_on_and_stay_on(plan: Plan) -> None:
    services = plan.of_type("google_project_service")
    assert all(one["disable_on_destroy"] is False for one in services.values())
    assert {
        "run.googleapis.com", "cloudfunctions.googleapis.com", "cloudbuild.googleapis.com", "pubsub.googleapis.com",
        "bigquery.googleapis.com", "secretmanager.googleapis.com", "cloudscheduler.googleapis.com",
        "monitoring.googleapis.com",
    } <= {one["service"] for one in services.values()}  # fmt: skip


def test_13_the_source_is_named_by_its_hash_and_holds_no_tests(plan: Plan) -> None:
    (source,) = plan.of_type("google_storage_bucket_object").values()
    assert re.fullmatch(r"source-.+\.zip", source["name"])
    assert "output_sha256" in text_of("source.tf")
    tracked = subprocess.run(
        ["git", "ls-files", "main.py", "requirements.txt", "lib"], cwd=terraform.ROOT, capture_output=True, check=True
    )
    files = set(tracked.stdout.decode().split()) - {"lib/cli.py"}
    # What the patterns of source.tf take.
    assert files == {file for file in files if file.endswith((".py", ".json")) or file == "requirements.txt"}
    assert 'fileset(local.root, "lib/**/*.py"), fileset(local.root, "lib/**/*.json")' in text_of("source.tf")


def test_14_the_bucket_is_private_and_tidy(plan: Plan) -> None:
    (bucket,) = plan.of_type("google_storage_bucket").values()
    assert bucket["uniform_bucket_level_access"] is True
    assert bucket["public_access_prevention"] == "enforced"
    assert bucket["versioning"]
    assert bucket["lifecycle_rule"]


def test_15_ingress_is_as_narrow_as_can_be(plans: dict[str, Plan]) -> None:
    def ingress(name: str) -> dict[str, str]:
        functions = plans[name].of_type("google_cloudfunctions2_function")
        return {key(address): one["service_config"][0]["ingress_settings"] for address, one in functions.items()}

    assert ingress("defaults") == {"receive": "ALLOW_INTERNAL_ONLY", "deliver": "ALLOW_INTERNAL_ONLY"}
    assert ingress("everything") == {"receive": "ALLOW_ALL", "deliver": "ALLOW_INTERNAL_ONLY"}


def test_16_instances_are_bounded(plan: Plan) -> None:
    for one in plan.of_type("google_cloudfunctions2_function").values():
        (service,) = one["service_config"]
        assert service["max_instance_count"] >= 1
        assert service["available_memory"]
        assert service["timeout_seconds"] <= 3600
        assert service["max_instance_request_concurrency"] == 1 or float(service["available_cpu"]) >= 1
        assert service["environment_variables"]["THREADS"] == str(service["max_instance_request_concurrency"])


def test_17_messages_are_neither_lost_nor_delivered_twice_at_once(plan: Plan) -> None:
    subscriptions = {one["name"]: one for one in plan.of_type("google_pubsub_subscription").values()}
    (deliver,) = plan.resources['google_cloudfunctions2_function.function["deliver"]']["service_config"]
    assert subscriptions.keys() == {"meta-relay", "meta-relay-secrets", "meta-relay-changes", "meta-relay-dead"}
    assert all(one["expiration_policy"][0]["ttl"] == "" for one in subscriptions.values())
    for name in ("meta-relay", "meta-relay-secrets"):
        one = subscriptions[name]
        assert one["ack_deadline_seconds"] >= deliver["timeout_seconds"]
        assert one["dead_letter_policy"][0]["max_delivery_attempts"] == 100
        assert one["retry_policy"][0] == {"minimum_backoff": "10s", "maximum_backoff": "600s"}
        assert one["push_config"][0]["oidc_token"]
    assert subscriptions["meta-relay"]["filter"] is None
    assert subscriptions["meta-relay-secrets"]["filter"] == 'hasPrefix(attributes.eventType, "SECRET_")'
    assert subscriptions["meta-relay-changes"]["enable_message_ordering"] is True
    assert seconds(subscriptions["meta-relay-dead"]["message_retention_duration"]) == 31 * _SECONDS_A_DAY


def test_18_secrets_rest_in_the_region_and_are_due_some_day(plan: Plan) -> None:
    secrets = plan.of_type("google_secret_manager_secret")
    for one in secrets.values():
        (replication,) = one["replication"]
        assert replication["user_managed"][0]["replicas"][0]["location"] == "europe-west1"
        assert one["rotation"][0]["rotation_period"] == f"{90 * _SECONDS_A_DAY}s"
        assert one["version_destroy_ttl"] == f"{7 * _SECONDS_A_DAY}s"
        assert len(one["topics"]) == 1
    readers = {
        key(address): one["role"] for address, one in plan.of_type("google_secret_manager_secret_iam_member").items()
    }
    assert set(readers.values()) == {"roles/secretmanager.secretAccessor"}
    # deliver has nothing to do with callers' keys.
    assert not [name for name in readers if name.startswith("key-") and name.endswith("-deliver")]


def test_19_tables_are_partitioned_clustered_and_described(plan: Plan) -> None:
    tables = plan.of_type("google_bigquery_table")
    logs = {one["table_id"]: one for address, one in tables.items() if address.startswith("google_bigquery_table.log[")}
    assert logs.keys() == {"delivery_log", "health_log"}
    for name, one in logs.items():
        assert one["time_partitioning"][0]["field"] == "logged_at"
        assert one["time_partitioning"][0]["expiration_ms"] >= 8 * _SECONDS_A_DAY * 1000
        assert one["require_partition_filter"] is True
        assert one["clustering"]
        columns = json.loads((terraform.ROOT / "lib" / f"{name}.json").read_text(encoding="utf-8"))
        assert json.loads(one["schema"]) == columns
        assert all(column["description"] for column in columns)
    assert {one["deletion_protection"] for one in logs.values()} in ({True}, {False})


def test_19_the_table_of_members_is_the_one_that_mirrors_load_into(plan: Plan) -> None:
    (table,) = (one for one in plan.of_type("google_bigquery_table").values() if one["table_id"] == TABLE)
    assert json.loads(table["schema"]) == json.loads(SCHEMA_FILE.read_bytes())
    # A load job that states another clustering than the table's is refused.
    (stated,) = re.findall(r"clustering_fields=(\[.*\]),", (terraform.ROOT / "lib" / "member_table.py").read_text())
    assert table["clustering"] == json.loads(stated)
    readers = [one for one in plan.of_type("google_bigquery_table_iam_member").values() if one["table_id"] == TABLE]
    assert [one["role"] for one in readers] == ["roles/bigquery.dataEditor"]


def test_20_views_are_standard_sql_of_this_deployment(plan: Plan) -> None:
    views = {one["table_id"]: one for one in plan.of_type("google_bigquery_table").values() if one["view"]}
    assert views.keys() == {path.stem for path in (terraform.FOLDER / "views").glob("*.sql")}
    for one in views.values():
        (view,) = one["view"]
        assert view["use_legacy_sql"] is False
        assert set(re.findall(r"`([^`]+)\.\w+`", view["query"])) == {"demo-project.meta_relay"}
        assert one["description"]
    for path in (terraform.FOLDER / "views").glob("*.sql"):
        assert "meta_relay" not in path.read_text(encoding="utf-8")


def test_21_each_alert_says_what_to_do(plan: Plan) -> None:
    alerts = {key(address): one for address, one in plan.of_type("google_monitoring_alert_policy").items()}
    assert alerts.keys() >= {
        "token", "account", "audience", "failed_deliveries", "dead_letters", "waiting", "silence", "match_quality",
    }  # fmt: skip
    for one in alerts.values():
        (documentation,) = one["documentation"]
        assert len(documentation["content"]) > 60
        assert one["alert_strategy"][0]["auto_close"]
    (dead,) = alerts["dead_letters"]["conditions"][0]["condition_threshold"]
    assert (dead["comparison"], dead["threshold_value"]) == ("COMPARISON_GT", 0)
    for name in ("silence", "no_checks"):
        assert len(alerts[name]["conditions"]) == 2


def test_21_alerts_reach_somebody(plans: dict[str, Plan]) -> None:
    assert not plans["defaults"].of_type("google_monitoring_notification_channel")
    (channel,) = plans["everything"].of_type("google_monitoring_notification_channel").values()
    assert channel["labels"] == {"email_address": "oncall@example.com"}
    assert "notification_channels = local.channels" in text_of("alerts.tf")


def metrics_of(plan: Plan) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in plan.of_type("google_logging_metric").values()}


def test_22_dashboard_and_alerts_look_at_metrics_and_labels_that_exist(plan: Plan) -> None:
    metrics = metrics_of(plan)
    labels = {name: set(one["label_extractors"] or ()) for name, one in metrics.items()}
    (dashboard,) = plan.of_type("google_monitoring_dashboard").values()
    asked = list(_charts(json.loads(dashboard["dashboard_json"])))
    asked += [
        (condition["filter"], condition["aggregations"][0].get("group_by_fields") or [])
        for one in plan.of_type("google_monitoring_alert_policy").values()
        for stated in one["conditions"]
        for kind in ("condition_threshold", "condition_absent")
        for condition in stated[kind] or []
    ]
    used = set()
    for text, by in asked:
        for name in re.findall(r'metric\.type="logging\.googleapis\.com/user/([^"]+)"', text):
            used.add(name)
            named = re.findall(r"metric\.labels?\.(\w+)", " ".join([text, *by]))
            assert set(named) <= labels[name], text
    assert used == metrics.keys() - {"meta-relay/rows_sent", "meta-relay/rows_rejected"}


def _charts(dashboard: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for tile in dashboard["mosaicLayout"]["tiles"]:
        for data in tile["widget"]["xyChart"]["dataSets"]:
            query = data["timeSeriesQuery"].get("timeSeriesFilter")
            if query:
                yield query["filter"], query["aggregation"]["groupByFields"]


def test_22_promql_names_metrics_that_exist(plan: Plan) -> None:
    (dashboard,) = plan.of_type("google_monitoring_dashboard").values()
    named = set(re.findall(r"logging_googleapis_com:user_(\w+)_sum", dashboard["dashboard_json"]))
    metrics = metrics_of(plan)
    assert named == {"meta_relay_rows_sent", "meta_relay_rows_rejected"}
    assert named <= {re.sub(r"\W", "_", name) for name in metrics}
    for name in ("meta-relay/rows_sent", "meta-relay/rows_rejected"):
        assert metrics[name]["metric_descriptor"][0]["value_type"] == "DISTRIBUTION"
        assert "kind" in metrics[name]["label_extractors"]


def test_23_jobs_publish_what_deliver_takes(plans: dict[str, Plan]) -> None:
    """No job calls a function: Scheduler's own agent publishes, so that there is no token to get wrong."""
    jobs = {key(address): one for address, one in plans["everything"].of_type("google_cloud_scheduler_job").items()}
    assert jobs.keys() == {"flush", "health", "source-vip"}
    assert {name: one["pubsub_target"][0]["attributes"]["type"] for name, one in jobs.items()} == {
        "flush": "flush",
        "health": "health",
        "source-vip": "segments",
    }
    assert all(not one["http_target"] for one in jobs.values())
    assert plans["defaults"].of_type("google_cloud_scheduler_job").keys() == {
        'google_cloud_scheduler_job.job["flush"]',
        'google_cloud_scheduler_job.job["health"]',
    }


def test_24_variables_and_outputs_say_what_they_are() -> None:
    variables = hcl.variables(terraform.FOLDER / "variables.tf")
    assert [one.name for one in variables] == sorted(one.name for one in variables)
    assert all(one.type and one.description.endswith((".", ")")) for one in variables)
    assert [one.name for one in variables if one.default is None] == ["project_id"]
    # What is true or false, or a label, cannot be wrong.
    unchecked = [one.name for one in variables if not one.messages]
    assert unchecked == ["deletion_protection", "event_enhancement", "labels"]
    outputs = hcl.outputs(terraform.FOLDER / "outputs.tf")
    assert len(outputs) == text_of("outputs.tf").count('output "')
    assert all(description.endswith(".") for _, description in outputs)


def test_25_tests_cover_each_branch(plans: dict[str, Plan]) -> None:
    """Each type of resource, and each of its optional blocks, is in one plan and absent from another."""
    declared = set(re.findall(r'^resource "(\w+)"', text_of(), re.MULTILINE))
    planned = {name: {address.partition(".")[0] for address in plan.resources} for name, plan in plans.items()}
    assert set().union(*planned.values()) == declared
    assert declared - planned["defaults"] == {
        "google_artifact_registry_repository", "google_firestore_database", "google_firestore_field",
        "google_kms_crypto_key_iam_member", "google_monitoring_notification_channel",
    }  # fmt: skip
    assert (terraform.FOLDER / "terraform.tfvars.example").exists()
