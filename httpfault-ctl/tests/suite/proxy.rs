//! Accounts that are reached through a proxy only.

use httpfault_simulator::World;

use crate::{
    support::{Site, finish},
    tunnel::Tunnel,
};

const ECS: &str = "ecs.eu-central-1.amazonaws.com";
const SSM: &str = "ssm.eu-central-1.amazonaws.com";

#[test]
fn every_call_goes_through_the_proxy_for_https() {
    let site = Site::new(World::fleet(1, 1));
    let tunnel = Tunnel::to(&site.simulator.endpoint(), &[ECS, SSM], site.files.path());
    let mut run = site.on_service("run");
    // No endpoint of the simulator's: these are AWS's own names.
    run.env_remove("AWS_ENDPOINT_URL").env("HTTPS_PROXY", tunnel.url()).env("SSL_CERT_FILE", &tunnel.ca);
    finish(&mut run).exits(0);
    let asked = tunnel.asked();
    for name in [ECS, SSM] {
        assert!(asked.contains(&format!("CONNECT {name}:443 HTTP/1.1")), "{asked:?}");
    }
    assert!(asked.iter().all(|line| line.starts_with("CONNECT ")), "{asked:?}");
}

#[test]
fn names_in_no_proxy_are_reached_directly() {
    let site = Site::new(World::fleet(1, 1));
    let tunnel = Tunnel::to(&site.simulator.endpoint(), &[ECS], site.files.path());
    let plan = |no_proxy: &str| {
        let mut plan = site.on_service("plan");
        finish(
            plan.env("HTTP_PROXY", tunnel.url()).env("HTTPS_PROXY", tunnel.url()).env("NO_PROXY", no_proxy),
        )
    };
    // The simulator speaks plain HTTP, which this proxy refuses.
    plan(".amazonaws.com").exits(1).says("ecs:DescribeClusters got no usable answer");
    let asked = tunnel.asked();
    assert!(
        !asked.is_empty() && asked.iter().all(|line| line.starts_with("POST http://127.0.0.1:")),
        "{asked:?}"
    );
    plan(".amazonaws.com,127.0.0.1").exits(0);
    assert_eq!(tunnel.asked(), asked, "the proxy was asked");
}
