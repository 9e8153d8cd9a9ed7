//! A large body of the application, whose status is replaced on the way.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use httpfault_tests::command::output;

use crate::{
    contenders::{self, BIG, BIG_BYTES, LOAD_CORE},
    results::{Download, Results},
    size::Size,
};

pub(crate) fn measure(size: &Size, results: &mut Results) -> Result<()> {
    let contenders = contenders::passing()?;
    let empty = |contender: &contenders::Contender| Download {
        who: contender.who,
        task: contender.task,
        seconds: Vec::new(),
        cpu: Vec::new(),
    };
    let mut downloads: Vec<Download> = contenders.iter().map(empty).collect();
    // Once more than it counts: the first reads the body from the disk.
    for round in 0..=size.rounds {
        for (contender, download) in contenders.iter().zip(&mut downloads) {
            let before = contender.cgroup().cpu()?;
            let start = Instant::now();
            let mut curl = contender.site.client.command("taskset");
            curl.args(["-c", LOAD_CORE, "curl", "--silent", "--show-error", "--output", "/dev/null"]);
            let said = output(
                curl.args(["--write-out", "%{size_download}"])
                    .arg(format!("http://{}{BIG}", contender.site.v4())),
            )?;
            let seconds = start.elapsed().as_secs_f64();
            let used = contender.cgroup().cpu()?.since(before);
            let bytes: u64 = said.trim().parse().context("curl said no size")?;
            ensure!(bytes == BIG_BYTES, "{bytes} bytes came from {}", contender.who.name());
            if round > 0 {
                download.seconds.push(seconds);
                download.cpu.push((used.user + used.kernel).as_secs_f64());
            }
        }
    }
    results.downloads = downloads;
    Ok(())
}
