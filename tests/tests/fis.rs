//! deploy/fis: AWS FIS, as far as it can be without AWS. botocore's models and moto look at the files; the Automation document
//! is carried out, step by step, against the simulator, whose hosts run the Command document with the real agent.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};
use httpfault_simulator::python::Python;
use httpfault_tests::{
    command::output,
    docker::Instance,
    experiment::{Account, PATIENCE, Web, binary, classified},
    wait,
};
use serde_json::{Value, json};

const DOCUMENT: &str = "httpfault-fault";

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn directory() -> PathBuf {
    repository().join("deploy/fis")
}

fn python(script: &str) -> Result<Command> {
    let mut command = Python::with_packages()?.command();
    command.arg("-B").arg(repository().join("tests/integrations").join(script));
    Ok(command)
}

/// Without checksums of agents: the file is there to be read, and fills nobody's host.
#[test]
fn the_document_in_deploy_is_the_one_that_is_printed() -> Result<()> {
    let nowhere = tempfile::tempdir()?;
    let zeros = "0".repeat(64);
    let mut ctl = Command::new(binary()?);
    ctl.env_clear().env("REGION", "eu-west-1").env("AGENT_DIR", nowhere.path());
    ctl.env("AGENT_SHA256", format!("x86_64={zeros},aarch64={zeros}")).args(["document", "--fis"]);
    let printed = output(&mut ctl)?;
    let kept = fs::read_to_string(directory().join("httpfault-fault.json"))?;
    assert_eq!(printed, kept, "print it again, as deploy/fis/README.md says");
    Ok(())
}

#[test]
fn the_models_of_aws_take_the_files_and_they_fit_each_other() -> Result<()> {
    assert_eq!(output(python("fis_shapes.py")?.arg(directory()))?.trim(), "ok");
    Ok(())
}

/// An account that has the document, and whose hosts have an engine as ECS hosts do.
fn account(instance: &Instance, webs: &[&Web<'_>]) -> Result<Account> {
    let account = Account::open(instance, webs)?;
    let engine = format!("unix://{}", instance.docker_socket().display());
    account.simulator.edit(|world| {
        for managed in &mut world.managed_instances {
            managed.host.env.insert("DOCKER_HOST".to_owned(), engine.clone());
        }
    });
    let sum = &account.agent().sha256;
    let ctl = account.ctl("document")?.without("HTTPFAULT_OUTPUT").without("AGENT_DELIVERY");
    let ctl = ctl.env("AGENT_SHA256", format!("x86_64={sum},aarch64={sum}"));
    ctl.argument("--fis").argument("--register").finish()?.exits(0)?.says(DOCUMENT)?;
    Ok(account)
}

/// The names of the steps that were taken, and the last word.
fn automation(account: &Account, parameters: &Value, more: &[&str]) -> Result<(Vec<String>, Value)> {
    let mut script = python("automation.py")?;
    script.arg(directory().join("httpfault-service-automation.yaml")).arg(parameters.to_string()).args(more);
    let said = output(script.envs(account.simulator.env()))?;
    let mut lines: Vec<Value> =
        said.lines().map(serde_json::from_str).collect::<Result<_, _>>().context("reading its steps")?;
    let end = lines.pop().context("it said nothing")?;
    let steps = lines.iter().map(|line| format!("{}{}", line["step"].as_str().unwrap_or("?"), problem(line)));
    Ok((steps.collect(), end))
}

fn problem(line: &Value) -> String {
    line["problem"]
        .as_str()
        .filter(|text| !text.is_empty())
        .map(|text| format!(": {text}"))
        .unwrap_or_default()
}

fn parameters(seconds: u32, seed: &str) -> Value {
    json!({
        "automationAssumeRole": "arn:aws:iam::123456789012:role/automation", "clusterName": "shop", "serviceName": "web",
        "containerName": "web-1", "affectedPercent": "50", "seed": seed, "durationSeconds": seconds.to_string(),
    })
}

/// A seed for which the sample of one of two tasks is the first.
const FIRST: &str = "4";

#[test]
fn a_service_is_faulted_and_a_cancel_takes_it_off() -> Result<()> {
    let instance = Instance::take()?;
    let webs = [Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 1)?];
    let webs: Vec<&Web<'_>> = webs.iter().collect();
    let account = account(&instance, &webs)?;
    let loads = [webs[0].load(), webs[1].load()];

    let (steps, end) = automation(&account, &parameters(6, FIRST), &[])?;
    let all =
        "DescribeService ListTasks DescribeTasks Choose DescribeHosts Inject ProveOn Hold Judge TakeOff";
    assert_eq!(steps.join(" "), all, "{end}");
    assert_eq!((&end["status"], &end["outputs"]["Choose.tasks"]), (&json!("Success"), &json!(webs[0].task)));
    let [chosen, spared] = loads;
    let (_, faults, real) = classified(chosen)?;
    assert!(faults > 20 && real > 20, "{faults} faults, {real} real answers");
    assert_eq!(classified(spared)?.1, 0, "a task that was not chosen");

    let (steps, end) = automation(&account, &parameters(600, FIRST), &["ProveOn"])?;
    assert_eq!(steps.join(" "), all.replace(" Judge", ""), "{end}");
    assert_eq!(end["status"], "Cancelled");
    account.assert_real(&webs)?;

    // Nobody sends requests: the agent says so, the command fails, and so does the experiment.
    let (steps, end) = automation(&account, &parameters(2, FIRST), &[])?;
    assert_eq!(end["status"], "Failed", "{steps:?}");
    assert!(steps.iter().any(|step| step.starts_with("Judge: ")), "{steps:?}");
    assert_eq!(steps.last().map(String::as_str), Some("TakeOff"), "{steps:?}");
    account.assert_clean(&webs)
}

/// FIS sends the Command document to instances that it picked itself, and a stop of the experiment cancels it: SIGKILL, no
/// word before. The fault goes with the process.
#[test]
fn a_stopped_experiment_leaves_nothing_on_the_host() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let webs = [&web];
    let account = account(&instance, &webs)?;
    let asked = json!({ "taskFamily": "shop", "containerName": "web-1", "durationSeconds": "600", "statusCode": "429" });
    let stop = || -> Result<String> {
        let mut script = python("fis_stop.py")?;
        script.args([DOCUMENT, &asked.to_string(), &web.host]).envs(account.simulator.env());
        output(&mut script)
    };
    assert_eq!(stop()?.trim(), "Cancelled");
    wait::until("the application", PATIENCE, || Ok(web.get("/")?.is_real()))?;
    account.assert_clean(&webs)
}
