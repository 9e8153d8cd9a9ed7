//! The data path alone: an SRE on a host who runs the agent by hand against one container.

use std::time::Duration;

use anyhow::{Context, Result};
use httpfault_tests::{
    agent::{Agent, agent_on, experiment, status_of},
    clean::Traces,
    command::output,
    docker::{Container, Instance, Plan},
    inside::ask,
    load::{self, Load, Outcome, Style},
    wire::{Broken, Connection, Response},
};

use crate::{Args, show::Show};

const PUBLISHED: u16 = 8080;
const CLIENT: &str = "/usr/bin/fixture-client";

/// 200, then the fault, then 200 again, for clients outside and inside, with pooled connections and under load.
pub(crate) fn demo(args: &Args, show: &mut Show) -> Result<()> {
    show.step("A container instance: Docker engine, nginx, and a client machine beside it");
    let instance = Instance::take()?;
    let web = Plan::nginx("web").publish(PUBLISHED, 80).serve(&instance, 80)?;
    show.command(&format!("docker run --name web --publish {PUBLISHED}:80 nginx"), &web.id[..12]);
    let before = Traces::now()?;

    show.step("Before");
    curl(&instance, show, "200")?;
    in_task(&web, show, 200)?;
    let mut pooled = instance.outside.run(|| Ok(Connection::open(Instance::published(PUBLISHED))?))?;
    pooled_answers(pooled.get("/"), show);

    show.step("The fault");
    let id = experiment("demo");
    let (code, duration) = (args.status_code.to_string(), args.duration.to_string());
    let words = ["--container", "web", "--port", "80", "--status-code", &code, "--duration", &duration];
    let words = ["run", "--output", "json", "--experiment-id", &id].into_iter().chain(words);
    show.command(
        &format!("httpfault-agent run --container web --port 80 --status-code {code} --duration {duration}"),
        "",
    );
    let mut agent = Agent::start(agent_on(&instance, words)?)?;
    agent.injected()?;
    show.output(agent.said());
    during(&instance, &web, &mut pooled, args, show)?;
    let known = status_of(&id)?.context("the agent is not known to `status`")?;
    let faulted = known.targets.iter().map(|target| target.counters.faulted).sum::<u64>();
    show.check(
        "httpfault-agent status",
        &format!("{:?}, {faulted} requests faulted", known.phase),
        faulted > 0,
    );

    show.step(&format!("The end, {duration} s after the beginning"));
    let ended = agent.ended()?;
    show.output(ended.lines.last().map_or("", String::as_str));
    show.check("its exit code", &ended.code()?.to_string(), ended.code()? == 0);

    show.step("After");
    curl(&instance, show, "200")?;
    in_task(&web, show, 200)?;
    let namespace = web.namespace()?;
    let left = before.none_but_these(&[(&namespace, 20000)]);
    let found = left.as_ref().err().map_or("nothing".to_owned(), |error| format!("{error:#}"));
    show.check("left in the kernel, in /run/httpfault, in the container's namespace", &found, left.is_ok());
    Ok(())
}

/// What clients see while the fault is on.
fn during(
    instance: &Instance,
    web: &Container<'_>,
    pooled: &mut Connection,
    args: &Args,
    show: &mut Show,
) -> Result<()> {
    curl(instance, show, &args.status_code.to_string())?;
    in_task(web, show, args.status_code)?;
    pooled.patience(Duration::from_secs(3))?;
    let closed = pooled.rest();
    let how = match &closed {
        Ok(rest) if rest.is_empty() => {
            "closed in order, as by an idle timeout; its client reconnects".to_owned()
        }
        Ok(rest) => format!("{} bytes that nobody asked for", rest.len()),
        Err(broken) => broken.to_string(),
    };
    show.check("the pooled connection from before", &how, closed.is_ok_and(|rest| rest.is_empty()));
    if args.status_code == 503 {
        let plan = load::Plan::new(Instance::published(PUBLISHED), 8, Style::Close);
        let load = Load::start(&instance.outside, plan);
        load.await_faults(1000)?;
        let tally = load.stop()?;
        let (faults, all) = (tally.count(Outcome::Fault), tally.samples.len());
        show.check(
            "8 clients, a connection for each request",
            &format!("{faults} of {all} get the fault"),
            faults == all,
        );
    }
    Ok(())
}

/// curl on the client machine, at the published port.
fn curl(instance: &Instance, show: &mut Show, expected: &str) -> Result<()> {
    let url = format!("http://{}/", Instance::published(PUBLISHED));
    let said = output(instance.outside.command("curl").args(["-sS", "-i", "--max-time", "5", &url]))?;
    show.command(&format!("curl -i {url}"), "");
    show.output(said.trim_end());
    let status = said.split_whitespace().nth(1).unwrap_or_default().to_owned();
    show.check("status", &status, status == expected);
    Ok(())
}

/// A process of the task itself, such as a health check.
fn in_task(web: &Container<'_>, show: &mut Show, expected: u16) -> Result<()> {
    let seen = ask(web.exec(CLIENT), "127.0.0.1:80".parse()?)?;
    let peer = seen.peer.map(|peer| peer.to_string()).unwrap_or_default();
    let right = seen.status == expected && peer == "127.0.0.1:80";
    show.check(
        "a client inside the container, to 127.0.0.1:80",
        &format!("{} from {peer}", seen.status),
        right,
    );
    Ok(())
}

fn pooled_answers(answer: Result<Response, Broken>, show: &mut Show) {
    let said = answer.as_ref().map_or_else(ToString::to_string, |response| response.status.to_string());
    show.check("a pooled connection, kept open", &said, answer.is_ok_and(|response| response.is_real()));
}
