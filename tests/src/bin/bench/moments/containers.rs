//! The agent on a container instance with a Docker engine and an ECS agent's API.

use anyhow::Result;
use httpfault_tests::{
    docker::{Instance, Plan},
    ecs::{Introspection, listed},
};
use nix::sys::signal::Signal;

use super::{end, inject, on_and_off, repeat, watch};
use crate::{results::Results, size::Size};

const TASK: &str = "0123456789abcdef0123456789abcdef";

pub(crate) fn containers(size: &Size, results: &mut Results) -> Result<()> {
    let instance = Instance::take()?;
    let pause = Plan::pause("pause").task(TASK).start(&instance)?;
    let web = Plan::nginx("web").task(TASK).network_of(&pause).serve(&instance, 80)?;
    let api = Introspection::start(&instance.namespace(), vec![listed(TASK, &[&pause, &web])])?;
    let to = pause.v4(80)?;
    let url = ["--ecs-introspection-url", &api.url()];
    let ways: [(&str, [&str; 2], &[&str]); 2] =
        [("`--container`", ["--container", &web.id], &[]), ("`--task-id`", ["--task-id", TASK], &url)];
    for (how, target, more) in ways {
        let seen = repeat(size.faults, || {
            let start = || inject(&instance, target, more);
            watch(&instance.namespace(), to, start, |agent| end(agent, Signal::SIGTERM))
        })?;
        results.moments.extend(on_and_off(how, None, &seen));
    }
    Ok(())
}
