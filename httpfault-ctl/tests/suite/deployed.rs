//! What deploy has for other people's systems, read as they read it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use httpfault_simulator::{World, python::Python};
use serde_json::Value;

use crate::support::{Site, bare, finish};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// The documents of a YAML file.
pub(crate) fn yaml(path: &str) -> Vec<Value> {
    const READ: &str =
        "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let mut python = Python::with_packages().unwrap().command();
    serde_json::from_str(&said(python.args(["-c", READ]).arg(repository().join(path)))).unwrap()
}

/// Name and value of each variable in a list of them.
pub(crate) fn variables(list: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value} is no string")).to_owned();
    list.as_array().unwrap().iter().map(|one| (text(&one["name"]), text(&one["value"]))).collect()
}

/// Every variable that `run` reads.
pub(crate) fn known() -> BTreeSet<String> {
    let help = finish(bare("run").arg("--help")).exits(0).stdout;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let names = help.split("[env: ").skip(1).filter_map(|rest| rest.split(']').next());
    names.flat_map(|names| names.split(", ").map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The sample's variables are all that the binary needs, and all of them are its own.
#[test]
fn the_harness_sample_is_a_whole_plan() {
    let engine = &yaml("deploy/harness/byoc.yaml")[0];
    assert_eq!(engine["spec"]["terminationGracePeriodSeconds"], 180);
    let experiment = &engine["spec"]["experiments"][0];
    assert_eq!(experiment["name"], "byoc-injector");
    let components = &experiment["spec"]["components"];
    let (injector, own): (Vec<_>, Vec<_>) = variables(&components["env"])
        .into_iter()
        .partition(|(name, _)| ["BYOC_HELPER_IMAGE", "COMMAND", "ARGS"].contains(&name.as_str()));
    let injector = |name: &str| injector.iter().find(|(known, _)| known == name).unwrap().1.as_str();
    // Where the image has it, and no shell around it.
    assert_eq!(injector("COMMAND"), "/usr/local/bin/httpfault-ctl");
    let arguments: Vec<&str> = injector("ARGS").split(',').collect();
    assert_eq!(arguments, ["run"]);
    let known = known();
    assert!(own.iter().all(|(name, _)| known.contains(name)), "{own:?}");

    let site = Site::new(World::fleet(2, 1));
    let secret = site.files.path().join("cloud-secret");
    std::fs::create_dir(&secret).unwrap();
    let user = httpfault_simulator::User::administrator();
    let keys = format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        user.access_key_id, user.secret_access_key
    );
    std::fs::write(secret.join("credentials"), keys).unwrap();
    let mount = components["secrets"][0]["mountPath"].as_str().unwrap();
    assert_eq!(mount, "/etc/httpfault/aws/cloud-secret");

    let mut plan = bare("plan");
    plan.envs(site.simulator.env_without_keys()).envs(own);
    // Where this test can write what the pod has mounted; the simulator's region.
    plan.env("AWS_AUTHENTICATION_SECRET_DIR", site.files.path()).env("AGENT_DIR", site.files.path());
    plan.env("REGION", site.simulator.world().region);
    let plan = finish(&mut plan).exits(0);
    assert_eq!(plan.json()["tasks"].as_array().unwrap().len(), 2, "{plan}");
    assert!(!plan.stderr.contains("did you mean"), "{plan}");
}

/// A role by Terraform, by CloudFormation, or by hand: the same policy.
#[test]
fn every_way_to_the_role_says_what_the_policy_says() {
    let mut python = Python::with_packages().unwrap().command();
    let script = repository().join("tests/integrations/iam.py");
    assert_eq!(said(python.arg("-B").arg(script).arg(repository().join("deploy/iam"))).trim(), "ok");
}
