//! The same fault made in the usual way: a server that answers with it, and an iptables rule.

use std::time::Duration;

use anyhow::{Context, Result};
use httpfault_tests::{
    load::{Load, Outcome, Plan, Style},
    site::Site,
    wait,
};

use super::{on_and_off, repeat, watch};
use crate::{
    contenders::{Nginx, Redirect},
    results::{Moment, When},
    size::Size,
};

const HOW: &str = "nginx and an iptables rule";
/// How long the application is waited for after nginx was killed.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn measure(site: &Site, size: &Size) -> Result<Vec<Moment>> {
    let seen = repeat(size.faults, || {
        let on = || {
            let nginx = Nginx::new()?.daemon(&site.target)?;
            Ok((nginx, Redirect::peer(&site.target)?))
        };
        watch(&site.client, site.v4(), on, |(nginx, rule)| {
            rule.delete()?;
            Ok(Box::new(move || nginx.stop()))
        })
    })?;
    let mut moments = Vec::from(on_and_off(HOW, None, &seen));
    moments.push(killed(site)?);
    Ok(moments)
}

/// What clients get when the server that answers is killed: the rule stays.
fn killed(site: &Site) -> Result<Moment> {
    let nginx = Nginx::new()?.daemon(&site.target)?;
    let rule = Redirect::peer(&site.target)?;
    let load =
        Load::start(&site.client, Plan::new(site.v4(), 1, Style::Close).pause(Duration::from_millis(5)));
    load.await_faults(20)?;
    nginx.kill()?;
    let killed = std::time::Instant::now();
    wait::pause(PATIENCE);
    rule.delete()?;
    load.await_real(20).context("after the rule was deleted")?;
    let tally = load.stop()?.sent_after(killed);
    let refused = tally.count(Outcome::Broken(httpfault_tests::wire::Broken::Refused));
    let note = format!("no answer until the rule is deleted: {refused} connections refused in a second");
    Ok(Moment { what: When::Killed, subject: None, how: HOW.to_owned(), times: Vec::new(), note: Some(note) })
}
