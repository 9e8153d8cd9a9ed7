//! One command in place of many: the agent out of S3, or out of an image that the host may pull.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
};

use httpfault_simulator::{Object, Policy, Role, World};

use crate::support::{Finished, Site, finish, host, sha256};

const URI: &str = "s3://tools/chaos/agent+1/httpfault-agent-{arch}";

/// The instance role is the world's first role.
fn site(instance_role: &[&str]) -> Site {
    let role = Role::new("ecsInstanceRole").policy(Policy::allow(instance_role.iter().copied()));
    let site = Site::harsh(World::fleet(2, 1).role(role).role(Role::new("chaos")));
    let metadata = site.simulator.endpoint();
    site.simulator.edit(|world| {
        for managed in &mut world.managed_instances {
            let env = &mut managed.host.env;
            env.insert("AWS_EC2_METADATA_SERVICE_ENDPOINT".to_owned(), metadata.clone());
            env.insert("AWS_ENDPOINT_URL_ECR".to_owned(), metadata.clone());
        }
        world.objects.push(Object {
            bucket: "tools".to_owned(),
            key: "chaos/agent+1/httpfault-agent-x86_64".to_owned(),
            file: site.agent_path("x86_64"),
        });
    });
    site
}

fn installed(site: &Site, number: usize) -> PathBuf {
    let sum = sha256(&site.agent_path("x86_64"));
    site.on_host(&host(number), &format!("/var/lib/httpfault/agents/{sum}/httpfault-agent"))
}

fn from_s3(site: &Site) -> Finished {
    finish(site.on_service("run").env("AGENT_S3_URI", URI))
}

/// One command brought it to every host.
fn assert_brought(site: &Site) {
    assert!(site.commands("piece").is_empty());
    let fetch = site.commands("fetch");
    assert_eq!((fetch.len(), fetch[0].invocations.len()), (1, 2));
    assert!((0..2).all(|number| installed(site, number).exists()));
}

#[test]
fn a_host_reads_the_object_by_its_own_role() {
    let site = site(&["s3:GetObject"]);
    from_s3(&site).exits(0);
    assert_brought(&site);
    let read = site.simulator.calls_of("GetObject");
    assert_eq!(read.len(), 2);
    assert!(read.iter().all(|call| !call.request["Uri"].as_str().unwrap().contains("X-Amz-Signature")));
}

#[test]
fn a_host_without_the_right_gets_a_presigned_url() {
    let site = site(&["ecr:*"]);
    from_s3(&site).exits(0);
    assert_brought(&site);
    let signed = |call: &httpfault_simulator::Call| {
        call.outcome == Some(httpfault_simulator::Outcome::Success)
            && call.request["Uri"].as_str().unwrap().contains("X-Amz-Signature")
    };
    assert_eq!(site.simulator.calls_of("GetObject").iter().filter(|call| signed(call)).count(), 2);

    // Session credentials make a long URL.
    let site = self::site(&["ecr:*"]);
    let role = site.simulator.world().role_arn("chaos");
    finish(site.on_service("run").env("AGENT_S3_URI", URI).env("ASSUME_ROLE_ARN", role)).exits(0);
    assert_brought(&site);
}

#[test]
fn where_neither_may_read_it_both_reasons_are_said() {
    let site = site(&["ecr:*"]);
    site.simulator.edit(|world| world.objects.clear());
    from_s3(&site)
        .exits(1)
        .says("the instance role could not get s3://tools/chaos/agent+1/httpfault-agent-x86_64")
        .says("the presigned URL did not work either")
        .says("404");
    assert!(site.commands("piece").is_empty() && !installed(&site, 0).exists());
}

#[test]
fn auto_takes_what_is_set_and_says_what_it_does_not_take() {
    let site = site(&["s3:GetObject"]);
    let mut both = site.on_service("run");
    both.env("AGENT_S3_URI", URI).env("AGENT_URL", "http://127.0.0.1:1/never");
    finish(&mut both).exits(0).says("AGENT_URL is not used: AGENT_S3_URI is");
    assert_brought(&site);
    for (way, needs) in [("s3", "AGENT_S3_URI"), ("ecr", "AGENT_IMAGE"), ("url", "AGENT_URL")] {
        finish(site.on_service("plan").env("AGENT_DELIVERY", way))
            .exits(64)
            .says(&format!("{needs}: is not set, and AGENT_DELIVERY={way} needs it"));
    }
    for wrong in ["http://tools/x", "s3://x/y", "s3://Tools/agent", "s3://tools", "s3://tools/a b"] {
        finish(site.on_service("plan").env("AGENT_S3_URI", wrong)).exits(64).says("s3://bucket/key");
    }
    for wrong in ["UPPER/x", "a b", "-x", "x@sha256:12"] {
        finish(site.on_service("plan").env("AGENT_IMAGE", wrong)).exits(64).says("AGENT_IMAGE");
    }
}

#[test]
fn a_plan_with_many_hosts_names_the_time_and_the_better_way() {
    let site = Site::harsh(World::fleet(51, 1));
    let plan = finish(&mut site.on_service("plan")).exits(0).json();
    let warning = plan["warnings"].to_string();
    assert!(warning.contains("51 host(s)") && warning.contains("AGENT_S3_URI"), "{plan}");
    assert!(plan["delivery"].to_string().contains("in pieces"), "{plan}");
    let mut s3 = site.on_service("plan");
    let plan = finish(s3.env("AGENT_S3_URI", URI)).exits(0).json();
    assert_eq!(plan["warnings"].as_array().unwrap().len(), 0, "{plan}");
    assert!(plan["delivery"].to_string().contains("one command"), "{plan}");
}

/// Stands in for the docker of a container instance: a registry that wants the password of ECR's token, and an image
/// with both agents.
fn docker(site: &Site) -> PathBuf {
    let bin = site.files.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let state = site.files.path().join("docker");
    fs::create_dir(&state).unwrap();
    let script = format!(
        r#"#!/bin/sh
state={state}/$AWS_SSM_INSTANCE_ID
mkdir -p "$state"
echo "$*" >>"$state/log"
case "$1 $2" in
"image inspect") [ -f "$state/image" ] || exit 1 ;;
"pull "*) grep -q '"auths"' "$DOCKER_CONFIG/config.json" 2>/dev/null || {{ echo "no basic auth credentials" >&2; exit 1; }}
    touch "$state/image" ;;
"login "*) [ "$(cat)" = {password} ] || {{ echo "denied" >&2; exit 1; }}
    echo '{{"auths":{{}}}}' >"$DOCKER_CONFIG/config.json" ;;
"create "*) [ -f "$state/image" ] && echo 0123456789abcdef ;;
"cp "*) case $2 in *:/usr/local/bin/httpfault-agent-*) cp "{agents}/${{2##*/}}" "$3" ;; *) exit 1 ;; esac ;;
"rm "* | "image rm") ;;
*) echo "unknown: $*" >&2; exit 125 ;;
esac
"#,
        state = state.display(),
        password = httpfault_simulator::REGISTRY_PASSWORD,
        agents = site.files.path().display(),
    );
    let path = bin.join("docker");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    site.simulator.edit(|world| {
        for managed in &mut world.managed_instances {
            let path = format!("{}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", bin.display());
            managed.host.env.insert("PATH".to_owned(), path);
        }
    });
    state
}

const IMAGE: &str = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/chaos/httpfault:0.1.0";

#[test]
fn a_host_takes_it_out_of_an_image_in_ecr() {
    let site = site(&["ecr:GetAuthorizationToken"]);
    let state = docker(&site);
    finish(site.on_service("run").env("AGENT_IMAGE", IMAGE)).exits(0);
    assert_brought(&site);
    for number in 0..2 {
        let log = fs::read_to_string(state.join(host(number)).join("log")).unwrap();
        let last: Vec<&str> = log.lines().rev().take(2).collect();
        assert_eq!(last, [format!("image rm {IMAGE}").as_str(), "rm 0123456789abcdef"], "{log}");
    }
}

#[test]
fn an_image_that_is_there_is_neither_pulled_nor_removed() {
    let site = site(&["s3:*"]);
    let state = docker(&site);
    for number in 0..2 {
        fs::create_dir(state.join(host(number))).unwrap();
        fs::write(state.join(host(number)).join("image"), "").unwrap();
    }
    finish(site.on_service("run").env("AGENT_IMAGE", IMAGE)).exits(0);
    let log = fs::read_to_string(state.join(host(0)).join("log")).unwrap();
    assert!(!log.contains("pull") && !log.contains("image rm"), "{log}");
}

#[test]
fn an_image_that_may_not_be_pulled_is_named() {
    let site = site(&["s3:*"]);
    docker(&site);
    finish(site.on_service("run").env("AGENT_IMAGE", IMAGE))
        .exits(1)
        .says("the instance role could not log in to 123456789012.dkr.ecr.eu-central-1.amazonaws.com");
    finish(site.on_service("run").env("AGENT_IMAGE", "public.example.com/x:1"))
        .exits(1)
        .says("no basic auth credentials");
}
