//! docs/benchmarks.md and its plots, from what was measured.

mod plot;
mod tables;

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{
    data_path::Part,
    results::{FLAME, Results, Style, Task},
};

/// Name of the page, and of the directory of its plots beside it.
const PAGE: &str = "benchmarks.md";
const PLOTS: &str = "benchmarks";

/// Writes the page and its plots.
pub(crate) fn write(results: &Results, directory: &Path) -> Result<()> {
    let plots = directory.join(PLOTS);
    fs::create_dir_all(&plots).with_context(|| format!("creating {}", plots.display()))?;
    for entry in fs::read_dir(&plots).context("looking for flame graphs of an earlier run")? {
        let old = entry?;
        if old.file_name().to_string_lossy().starts_with(FLAME) {
            fs::remove_file(old.path()).with_context(|| format!("removing {}", old.path().display()))?;
        }
    }
    let flames = results.flames.iter().map(|flame| (flame.of.file(), &flame.svg));
    let drawn = plot::all(results)?;
    let drawn = drawn.iter().map(|(name, picture)| ((*name).to_owned(), picture));
    for (name, picture) in drawn.chain(flames) {
        let path = plots.join(name);
        fs::write(&path, picture).with_context(|| format!("writing {}", path.display()))?;
    }
    let page = directory.join(PAGE);
    fs::write(&page, text(results)).with_context(|| format!("writing {}", page.display()))
}

/// The page.
pub(crate) fn text(results: &Results) -> String {
    let mut page = format!("{}\n\n{}\n", INTRODUCTION.trim(), machine(results));
    let mut section = |title: &str, text: String| {
        if !text.is_empty() {
            let _infallible = write!(page, "\n## {title}\n\n{text}");
        }
    };
    section("Goals", format!("{}\n{MISSED}", tables::goals(results)));
    section("A faulted response", responses(results));
    section("Requests that go to the application", proxied(results));
    section("A large body", tables::downloads(results));
    section("How soon a fault is on and off", moments(results));
    section("Memory", tables::memory(results));
    section("Who is not meant", tables::bystanders(results));
    section("What could not be measured", tables::failures(results));
    page
}

fn machine(results: &Results) -> String {
    let size = &results.size;
    let later: Vec<String> = results
        .later
        .iter()
        .filter_map(Part::to_possible_value)
        .map(|part| format!("`--only {}`", part.get_name()))
        .collect();
    let later = if later.is_empty() {
        later.concat()
    } else {
        format!(" Measured again later: {}.", later.join(", "))
    };
    format!(
        "{}. {}.\n\nEach load lasts {} s, {} rounds; each fault for the times is made {} times.{later}\n",
        results.machine,
        results.programs.join("; "),
        size.seconds,
        size.rounds,
        size.faults
    )
}

fn responses(results: &Results) -> String {
    let mut text = String::new();
    for style in Style::ALL {
        let table = tables::rows(results, &[Task::Fault], style);
        if !table.is_empty() {
            let _infallible = write!(text, "### {}\n\n{table}\n", style.name());
        }
    }
    if text.is_empty() { text } else { format!("{}\n{PLOT_RESPONSES}\n{text}", RESPONSES.trim_start()) }
}

fn proxied(results: &Results) -> String {
    let mut text = String::new();
    for style in Style::PROXIED {
        let table = tables::rows(results, &Task::PROXIED, style);
        if !table.is_empty() {
            let _infallible = write!(text, "### {}\n\n{table}\n", style.name());
        }
    }
    if text.is_empty() { text } else { format!("{}\n{text}", PROXIED.trim_start()) }
}

fn moments(results: &Results) -> String {
    let table = tables::moments(results);
    if table.is_empty() { table } else { format!("{}\n{PLOT_START}\n{table}", MOMENTS.trim_start()) }
}

const INTRODUCTION: &str = "
# Benchmarks

Written by `cargo xtask bench --write`: every number and every plot of this page is of one run of that command, which
takes a quarter of an hour. `cargo xtask bench --quick` takes three minutes and prints the page.

How it is measured:

- Each server is in a network namespace of its own, all made the same way: one client machine at the other end of a
  cable, and one application, nginx with one worker. Servers have one core, the load has another. All are there at the
  same time; loads are put on them one after the other, round after round, each round beginning with another server, so
  that whatever else the machine does meets all alike. Numbers are medians of the rounds, with the least and the most in
  brackets.
- httpfault-agent is the program that is handed out. nginx (`return 503`), HAProxy (`http-request return`, or a reverse
  proxy) and mitmproxy (a script that answers) get the traffic by an iptables REDIRECT.
- The floor is a bare epoll loop ([source](../tests/src/bin/floor/main.rs)) in the place of the agent's responder, under
  the same kernel programs: accept4, recv, send, close, prebuilt bytes, no limit, no timeout. What it takes, any
  program has to take.
- The application alone is nginx with `return 200`, without any fault.
- CPU is what the kernel counts for the server's cgroup, all its processes. The parts, user and kernel, are told apart by
  the clock tick, so that they are less exact than their sum. Work in softirq counts where it runs: over a virtual cable
  that is in who sends, so what the client's side does with an answer is in the server's number, and what the server's
  side does with a request is in the load's. It is the same for all rows.
- Where a goal is missed there is a flame graph, of the same build of the agent with the names of its functions and with
  frame pointers: `perf record` takes a sample of each core about 2,000 times a second, by the clock (`cpu-clock`), so
  that what the kernel does with interrupts off counts where it turns them on again.
- A load asks as fast as it is answered. With 64 connections and more, latency is mostly the time in the queue.
";

const MISSED: &str = "
What was tried where goals are missed or were:

- *One kept connection*: a response is one epoll_wait, one recv and one send of prebuilt bytes, as the floor's, and the
  kernel's part is nine tenths of it. Tried and kept: one front that reads a head once, no lock and no timer that requests
  share.
- *A connection for each response*: connections come with their first bytes (TCP_DEFER_ACCEPT), and the first request is
  answered where it is accepted: 5 system calls for 10.
- *HTTP/2*: hyper and h2 read and write the frames, and a second implementation for faulted requests is not wanted. Tried
  and kept: answers that are ready together are written together. The floor counts frames and does not read what is asked.
- *`--percent 50` with a connection for each response*: half of the clients' connections need a second one, to the
  application, that is used once. Tried and kept: sockets are made in lots by a thread that is in the target's namespace, a
  head is relayed with what of its body is there, no wait after the last answer. Not wanted: one connection for the
  requests of several clients, as HAProxy has; the application would see other connections than without the fault.
- *A busy namespace*: listeners and connections are asked of the kernel by port (sock_diag), and the target's descriptors
  are looked at only until all of those are found.
";
const RESPONSES: &str = "
Every request is answered with status 503 by who is in the row.
";
const PLOT_RESPONSES: &str = "
![CPU time of a response](benchmarks/cpu.svg)

![Latency](benchmarks/latency.svg)
";
const PROXIED: &str = "
With `--percent 50` every other request gets the fault; the others, and all with `--percent 0`, go to the application.
With `--modify-response-body false` all go there, and the status of the answers is replaced. CPU is the proxy's own,
without the application's.

HAProxy keeps connections to the application and uses them for every client. The agent opens one for each client's, so
that the application sees connections come and go as it does without a fault: where each client connection has one
request, that is a second connection for each response.
";
const MOMENTS: &str = "
One client asks all the time, on a connection for each request, 0.2 ms after the last answer. *On* is from the start of
the first program to the first faulted answer, *off* from SIGTERM (for iptables: from the deletion of the rule) to the
last one, *killed* from SIGKILL to the application's next answer. In milliseconds.
";
const PLOT_START: &str = "
![From exec to the first faulted response](benchmarks/start.svg)
";
