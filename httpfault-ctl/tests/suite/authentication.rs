//! Every way to authenticate, and how each of them fails.

use std::{fs, time::Duration};

use httpfault_simulator::{Role, User, World};

use crate::support::{CLUSTER, Finished, Site, bare, finish, start};

const KEY: &str = "AKIDCHAOS0000000000A";
const SECRET: &str = "never/printed+anywhere";

fn site() -> Site {
    let user = User::new("chaos", KEY, SECRET);
    let role = Role::new("chaos-role").external_id("ext-1").web_identity_token("token-of-the-pod");
    Site::new(World::fleet(1, 1).user(user).role(role).role(Role::new("pod-role")))
}

/// `plan` with nothing but the endpoint.
fn plan(site: &Site, env: &[(&str, &str)]) -> Finished {
    plan_in(site, site.simulator.env_without_keys(), env)
}

fn plan_in(site: &Site, base: Vec<(String, String)>, env: &[(&str, &str)]) -> Finished {
    let mut ctl = bare("plan");
    ctl.envs(base)
        .env("CLUSTER_NAME", CLUSTER)
        .env("SERVICE_NAME", "web")
        .env("AGENT_DIR", site.files.path());
    let done = finish(ctl.envs(env.iter().copied()));
    assert!(!done.stderr.contains(SECRET) && !done.stdout.contains(SECRET), "a secret was printed: {done}");
    done
}

fn credentials(site: &Site, name: &str, text: &str) -> String {
    let path = site.files.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn keys(profile: &str, secret: &str) -> String {
    format!("[{profile}]\naws_access_key_id = {KEY}\naws_secret_access_key = {secret}\n")
}

#[test]
fn a_mounted_secret_by_path_by_name_and_as_a_directory() {
    let site = site();
    let path = credentials(&site, "secrets/cloud-secret", &keys("default", SECRET));
    let dir = site.files.path().join("secrets").display().to_string();
    plan(&site, &[("AWS_AUTHENTICATION_SECRET", &path)]).exits(0);
    plan(&site, &[("AWS_AUTHENTICATION_SECRET", "cloud-secret"), ("AWS_AUTHENTICATION_SECRET_DIR", &dir)])
        .exits(0);
    credentials(&site, "secrets/mounted/cloud_config.yml", &keys("default", SECRET));
    plan(&site, &[("AWS_AUTHENTICATION_SECRET", "mounted"), ("AWS_AUTHENTICATION_SECRET_DIR", &dir)])
        .exits(0);
    let named = credentials(&site, "named", &keys("team", SECRET));
    plan(&site, &[("AWS_AUTHENTICATION_SECRET", &named), ("AWS_PROFILE", "team")]).exits(0);
    // It wins over keys in the environment.
    let wrong = [
        ("AWS_AUTHENTICATION_SECRET", path.as_str()),
        ("AWS_ACCESS_KEY_ID", "AKIDNONE"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
    ];
    plan(&site, &wrong).exits(0);
}

#[test]
fn a_mounted_secret_that_does_not_work() {
    let site = site();
    let way = "AWS_AUTHENTICATION_SECRET (";
    plan(&site, &[("AWS_AUTHENTICATION_SECRET", "/no/such/file")]).exits(1).says(way).says("No such file");
    let empty = credentials(&site, "empty", "\n");
    plan(&site, &[("AWS_AUTHENTICATION_SECRET", &empty)]).exits(1).says(way).says("the file is empty");
    let other = credentials(&site, "other", &keys("team", SECRET));
    plan(&site, &[("AWS_AUTHENTICATION_SECRET", &other)]).exits(1).says(way).says("default");
    let broken = credentials(&site, "broken", &format!("aws_secret_access_key {SECRET}\n[[["));
    plan(&site, &[("AWS_AUTHENTICATION_SECRET", &broken)]).exits(1).says(way);
    let wrong = credentials(&site, "wrong", &keys("default", "wrong-secret"));
    plan(&site, &[("AWS_AUTHENTICATION_SECRET", &wrong)])
        .exits(1)
        .says("AWS no longer accepts the credentials from AWS_AUTH");
    // The content in place of the name.
    plan(&site, &[("AWS_AUTHENTICATION_SECRET", &keys("default", SECRET))]).exits(64).says("(not shown)");
}

#[test]
fn a_shared_credentials_file_and_keys_in_the_environment() {
    let site = site();
    let path = credentials(&site, "shared", &keys("team", SECRET));
    plan(&site, &[("AWS_SHARED_CREDENTIALS_FILE", &path), ("AWS_PROFILE", "team")]).exits(0);
    plan(&site, &[("AWS_SHARED_CREDENTIALS_FILE", "/no/such/file")])
        .exits(1)
        .says("AWS_SHARED_CREDENTIALS_FILE (/no/such/file");
    plan(&site, &[("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET)]).exits(0);
    plan(&site, &[("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", "wrong")])
        .exits(1)
        .says("AWS no longer accepts the credentials from the variables AWS_ACCESS_KEY_ID");
    plan(&site, &[])
        .exits(1)
        .says("getting AWS credentials from the AWS configuration files or the instance role failed");
}

#[test]
fn a_service_account_with_a_web_identity() {
    let site = site();
    let token = credentials(&site, "token", "token-of-the-pod");
    let role = site.simulator.world().role_arn("chaos-role");
    let pod = [("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()), ("AWS_ROLE_ARN", role.as_str())];
    plan(&site, &pod).exits(0);
    let wrong = credentials(&site, "wrong-token", "another token");
    plan(&site, &[("AWS_WEB_IDENTITY_TOKEN_FILE", &wrong), ("AWS_ROLE_ARN", &role)])
        .exits(1)
        .says("web identity token");
    plan(&site, &[("AWS_WEB_IDENTITY_TOKEN_FILE", "/no/token"), ("AWS_ROLE_ARN", &role)])
        .exits(1)
        .says("/no/token");
}

#[test]
fn pod_identity_and_the_instance_role() {
    let site = site();
    plan_in(&site, site.simulator.env_container_credentials("pod-role"), &[]).exits(0);
    plan_in(&site, site.simulator.env_container_credentials("no-role"), &[])
        .exits(1)
        .says("EKS Pod Identity");
    plan_in(&site, site.simulator.env_instance_profile(), &[]).exits(0);
}

#[test]
fn a_role_on_top_with_an_external_id() {
    let site = site();
    let role = site.simulator.world().role_arn("chaos-role");
    let base = || site.simulator.env();
    plan_in(&site, base(), &[("ASSUME_ROLE_ARN", &role), ("ASSUME_ROLE_EXTERNAL_ID", "ext-1")]).exits(0);
    assert!(
        site.simulator
            .calls_of("AssumeRole")
            .iter()
            .any(|call| call.request["RoleSessionName"] == "httpfault")
    );
    plan_in(&site, base(), &[("ASSUME_ROLE_ARN", &role), ("ASSUME_ROLE_EXTERNAL_ID", "wrong")])
        .exits(1)
        .says(&format!("getting AWS credentials from ASSUME_ROLE_ARN {role}"))
        .says("trust policy");
    let none = role.replace("chaos-role", "none");
    plan_in(&site, base(), &[("ASSUME_ROLE_ARN", &none)]).exits(1).says("ASSUME_ROLE_ARN");
}

#[test]
fn credentials_that_run_out_during_the_fault_are_renewed() {
    let site = site();
    site.simulator.credential_lifetime(Duration::from_secs(2));
    let mut ctl = bare("run");
    ctl.envs(site.simulator.env_container_credentials("pod-role"))
        .env("CLUSTER_NAME", CLUSTER)
        .env("SERVICE_NAME", "web")
        .env("AGENT_DIR", site.files.path())
        .env("TOTAL_CHAOS_DURATION", "5");
    finish(&mut ctl).exits(0);
}

#[test]
fn credentials_that_are_withdrawn_during_the_fault_are_named() {
    let site = site();
    let mut ctl = bare("run");
    ctl.envs(site.simulator.env_container_credentials("pod-role"))
        .env("CLUSTER_NAME", CLUSTER)
        .env("SERVICE_NAME", "web")
        .env("AGENT_DIR", site.files.path())
        .env("TOTAL_CHAOS_DURATION", "3");
    let run = start(&mut ctl);
    site.await_on(1);
    site.simulator.expire_sessions();
    // Fresh ones are fetched to take the fault off.
    let done = run.ended().exits(2);
    done.says("AWS no longer accepts the credentials from the container credentials endpoint");
    site.assert_clean();
}
