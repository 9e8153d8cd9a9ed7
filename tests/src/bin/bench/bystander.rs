//! Services that no fault is meant for: another port of the target, and another container of the same host, with and
//! without a fault that is on.

use anyhow::{Result, ensure};
use httpfault_tests::{agent::experiment, site::Site};

use crate::{
    contenders::{OTHER_PORT, site},
    loads,
    results::{Bystander, Results, Sample, Style},
    size::Size,
};

const STYLES: [Style; 2] = [Style::Kept1, Style::Close];

pub(crate) fn measure(size: &Size, results: &mut Results) -> Result<()> {
    let (target, other) = (site("target")?, site("other")?);
    let places = [("another port of the target", &target, OTHER_PORT), ("another container", &other, 80)];
    let mut bystanders = Vec::new();
    for (place, _, _) in places {
        for style in STYLES {
            bystanders.push(Bystander {
                place: place.to_owned(),
                style,
                without: Vec::new(),
                with: Vec::new(),
            });
        }
    }
    for round in 0..size.rounds {
        // Which of the two comes first changes from round to round.
        for fault in [round % 2 == 0, round % 2 != 0] {
            let agent = fault.then(|| target.inject(&experiment("bystander"), &[])).transpose()?;
            let mut rows = bystanders.iter_mut();
            for (_, site, port) in places {
                for style in STYLES {
                    let sample = load(site, port, style, size.seconds)?;
                    let row = rows.next();
                    row.into_iter()
                        .for_each(|row| if fault { row.with.push(sample) } else { row.without.push(sample) });
                }
            }
            if let Some(agent) = agent {
                agent.terminate()?;
            }
        }
    }
    results.bystanders = bystanders;
    Ok(())
}

fn load(site: &Site, port: u16, style: Style, seconds: u64) -> Result<Sample> {
    let url = format!("http://{}:{port}/", site.v4().ip());
    let (sample, faults) = loads::put(&site.client, &url, style, seconds, site.cgroup())?;
    ensure!(faults == 0.0, "{url}: {faults} answers were faults");
    Ok(sample)
}
