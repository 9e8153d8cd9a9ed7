//! The main job: an experiment on an ECS service. The AWS APIs are simulated on loopback; the container instance is this
//! machine, its tasks are real containers, and what SSM is asked to run on it is really run.

use anyhow::{Context, Result};
use httpfault_simulator::Timing;
use httpfault_tests::{
    command::output,
    docker::Instance,
    experiment::{Account, Ctl, Ended, PATIENCE, Running, SERVICE, Web},
    wait,
};

use crate::{Args, show::Show};

/// Pieces of the agent between two lines about them.
const EVERY: usize = 30;

pub(crate) fn demo(args: &Args, show: &mut Show) -> Result<()> {
    show.step(
        "An ECS cluster: a container instance (this machine), and a service with two tasks (real containers)",
    );
    let instance = Instance::take()?;
    let webs = [Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 0)?];
    let webs: Vec<&Web<'_>> = webs.iter().collect();
    let account = Account::empty(&instance, &webs, Timing::default())?;
    for web in &webs {
        show.output(&format!("task {} on {}, published at {}", web.task, web.host, web.address));
    }
    show.output(&format!("ECS, SSM and STS APIs (simulated) at {}", account.simulator.endpoint()));

    show.step("The plan");
    show.command(
        &format!("httpfault-ctl plan   # SERVICE_NAME={SERVICE} STATUS_CODE={}", args.status_code),
        "",
    );
    let plan = configured(account.plan_delivery()?, args).finish()?.exits(0)?;
    show.output(plan.stdout.trim_end());
    show.check("AWS calls that send something to a host", &sent(&account).to_string(), sent(&account) == 0);

    show.step("Before");
    curl(&instance, &webs, show, "200")?;

    show.step("The experiment");
    show.command(&format!("httpfault-ctl run   # TOTAL_CHAOS_DURATION={}", args.duration), "");
    let run = configured(account.run_and_deliver(args.duration)?, args).start()?;
    let mut follow = Follow::default();
    wait::until("the fault on every task", PATIENCE, || {
        follow.show(&run, show);
        let statuses = webs.iter().map(|web| Ok(web.get("/")?.status)).collect::<Result<Vec<_>>>()?;
        Ok(statuses.iter().all(|status| *status == args.status_code))
    })
    .with_context(|| format!("httpfault-ctl said:\n{}", run.stderr()))?;
    let pieces = account.commands("piece").len();
    let delivered = account.installed(&webs[0].host).is_file();
    show.check("the agent came to the host over SSM", &format!("{pieces} commands"), delivered && pieces > 0);

    show.step("During");
    curl(&instance, &webs, show, &args.status_code.to_string())?;

    show.step(&format!("The end, {} s after the beginning", args.duration));
    let ended = follow.until_over(run, show)?;
    verdict(&ended, &webs, show)?;

    show.step("After");
    curl(&instance, &webs, show, "200")?;
    let left = account.assert_clean(&webs);
    let found = left.as_ref().err().map_or("nothing".to_owned(), |error| format!("{error:#}"));
    show.check("left in the kernel, in /run/httpfault, in the tasks' namespaces", &found, left.is_ok());
    Ok(())
}

fn configured(ctl: Ctl, args: &Args) -> Ctl {
    let ctl = ctl.env("STATUS_CODE", args.status_code.to_string());
    ctl.env("TOTAL_CHAOS_DURATION", args.duration.to_string()).env("HTTPFAULT_POLL_MS", "200")
}

fn sent(account: &Account) -> usize {
    account.simulator.count("SendCommand")
}

/// curl on the client machine, at each task's published port.
fn curl(instance: &Instance, webs: &[&Web<'_>], show: &mut Show, expected: &str) -> Result<()> {
    for web in webs {
        let url = format!("http://{}/", web.address);
        let said = output(instance.outside.command("curl").args(["-sS", "-i", "--max-time", "5", &url]))?;
        show.command(&format!("curl -i {url}"), said.trim_end());
        let status = said.split_whitespace().nth(1).unwrap_or_default().to_owned();
        show.check("status", &status, status == expected);
    }
    Ok(())
}

/// What the report says.
fn verdict(ended: &Ended, webs: &[&Web<'_>], show: &mut Show) -> Result<()> {
    let code = ended.status.code().map_or_else(|| ended.status.to_string(), |code| code.to_string());
    show.check("its exit code", &code, ended.status.success());
    for web in webs {
        let task = ended.task(&web.task)?;
        let proved = task["verified_on"] == true && task["verified_off"] == true;
        let seen = format!("{}, {} request(s)", task["outcome"], task["counters"]["faulted"]);
        show.check(&format!("task {}", web.task), &seen, task["outcome"] == "faulted" && proved);
    }
    Ok(())
}

/// Shows what the controller says, as it says it.
#[derive(Debug, Default)]
struct Follow {
    shown: usize,
    pieces: usize,
}

impl Follow {
    fn show(&mut self, run: &Running, show: &Show) {
        self.lines(&run.stderr(), show);
    }

    fn lines(&mut self, said: &str, show: &Show) {
        let Some(end) = said.rfind('\n') else { return };
        for line in said[..=end].lines().skip(self.shown) {
            self.shown += 1;
            if line.starts_with("sent piece") {
                self.pieces += 5;
                if !self.pieces.is_multiple_of(EVERY) {
                    continue;
                }
            }
            show.output(line);
        }
    }

    fn until_over(&mut self, mut run: Running, show: &Show) -> Result<Ended> {
        while !run.is_over()? {
            self.show(&run, show);
            wait::pause(std::time::Duration::from_millis(100));
        }
        let ended = run.ended()?;
        self.lines(&ended.stderr, show);
        Ok(ended)
    }
}
