//! The main job: an experiment on an ECS service. The AWS APIs are simulated on loopback; the container instance is this
//! machine, its tasks are real containers, and what SSM is asked to run on it is really run. It ends with the report.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use httpfault_simulator::Timing;
use httpfault_tests::{
    command::{build_directory, output},
    docker::Instance,
    experiment::{Account, Ctl, Ended, PATIENCE, Running, SERVICE, Web, classified},
    load::{self, Load, Request, Style},
    wait,
};

use crate::{Args, show::Show};

/// Pieces of the agent between two lines about them.
const EVERY: usize = 30;
/// Spared by the fault.
const SPARED: &str = "/health";
/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(25);

pub(crate) fn demo(args: &Args, show: &mut Show) -> Result<()> {
    show.step(
        "An ECS cluster: a container instance (this machine), and a service with two tasks (real containers)",
    );
    let instance = Instance::take()?;
    let webs = [Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 0)?];
    let webs: Vec<&Web<'_>> = webs.iter().collect();
    // The controller runs where the clients are, so that its probe asks as they do.
    let account = instance.outside.run(|| Account::empty(&instance, &webs, Timing::default()))?;
    for web in &webs {
        show.output(&format!("task {} on {}, published at {}", web.task, web.host, web.address));
    }
    show.output(&format!("ECS, SSM and STS APIs (simulated) at {}", account.simulator.endpoint()));

    show.step("The plan");
    show.command(
        &format!("httpfault-ctl plan   # SERVICE_NAME={SERVICE} STATUS_CODE={}", args.status_code),
        "",
    );
    let plan = configured(account.plan_delivery()?, &webs, args);
    let plan = instance.outside.run(|| plan.finish())?.exits(0)?;
    show.output(plan.stdout.trim_end());
    show.check("AWS calls that send something to a host", &sent(&account).to_string(), sent(&account) == 0);

    show.step("Before");
    curl(&instance, &webs, show, "200")?;

    show.step("The experiment");
    show.command(&format!("httpfault-ctl run   # TOTAL_CHAOS_DURATION={}", args.duration), "");
    let loads: Vec<Load> = webs.iter().flat_map(|web| clients(&instance, web)).collect();
    let report = report_directory()?;
    let run = configured(account.run_and_deliver(args.duration)?, &webs, args).env("REPORT_DIR", &report);
    let run = instance.outside.run(|| run.start())?;
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
    clients_saw(loads, show)?;

    show.step("The report");
    report_of(&report, args, show)
}

/// The probe has to see the fault: nothing between it and the tasks would hide it.
fn configured(ctl: Ctl, webs: &[&Web<'_>], args: &Args) -> Ctl {
    let ctl = ctl.env("STATUS_CODE", args.status_code.to_string()).env("EXCLUDE_PATHS", SPARED);
    let ctl = ctl.env("TOTAL_CHAOS_DURATION", args.duration.to_string()).env("HTTPFAULT_POLL_MS", "200");
    let ctl = ctl.env("PROBE_URL", format!("http://{}/", webs[0].address)).env("PROBE_INTERVAL", "250ms");
    ctl.env("PROBE_DURING", "fail").env("RAMP_TIME", "2")
}

/// Of each task: some that get the fault, and one whose requests are spared.
fn clients(instance: &Instance, web: &Web<'_>) -> [Load; 2] {
    let plan = |clients, pause| load::Plan::new(web.address, clients, Style::Close).pause(pause);
    let spared = plan(1, PAUSE * 2).request(Request::Get(SPARED));
    [Load::start(&instance.outside, plan(2, PAUSE)), Load::start(&instance.outside, spared)]
}

fn clients_saw(loads: Vec<Load>, show: &mut Show) -> Result<()> {
    let (mut faults, mut answers) = (0, 0);
    for load in loads {
        let (_, faulted, real) = classified(load)?;
        (faults, answers) = (faults + faulted, answers + real);
    }
    let seen = format!("{faults} faults, {answers} answers of the application, nothing else");
    show.check("6 clients, all the time", &seen, faults > 0 && answers > 0);
    Ok(())
}

/// Under target, empty.
fn report_directory() -> Result<PathBuf> {
    let build = build_directory()?;
    let directory = build.parent().unwrap_or(&build).join("demo");
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", directory.display()))
        }
        _ => Ok(directory),
    }
}

fn report_of(directory: &Path, args: &Args, show: &mut Show) -> Result<()> {
    let picture = directory.join("timeline.svg");
    let drawn = fs::read_to_string(&picture).with_context(|| format!("reading {}", picture.display()))?;
    let parts = ["by the fault", "by the application", "probe"];
    let all_there = parts.iter().all(|part| drawn.contains(part));
    for name in ["report.html", "report.md", "report.json", "junit.xml"] {
        let path = directory.join(name);
        show.check(name, &path.display().to_string(), path.is_file());
    }
    show.check("its picture: faults, answers, probe", &picture.display().to_string(), all_there);
    if let Some(to) = &args.picture {
        fs::write(to, drawn).with_context(|| format!("writing {}", to.display()))?;
    }
    Ok(())
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
            wait::pause(Duration::from_millis(100));
        }
        let ended = run.ended()?;
        self.lines(&ended.stderr, show);
        Ok(ended)
    }
}
