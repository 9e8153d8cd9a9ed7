//! Connections of real clients to real servers.

use std::time::Duration;

use anyhow::{Context, Result};
use httpfault_tests::{
    clients::{Client, Task},
    load::{Load, Outcome, Plan, Request, Style},
    servers::{Protocol, Server},
    site::Site,
};

/// The test bed itself: what is counted as real, lost or cut later on is an answer of every server to every client.
#[test]
fn every_client_is_answered_by_every_server() -> Result<()> {
    for server in Server::ALL {
        let site = Site::serve(server)?;
        for client in Client::ALL.into_iter().filter(|client| server.speaks(client.protocol())) {
            let path = if client == Client::Grpc { "Slow/1" } else { "" };
            for to in site.addresses() {
                let task = Task { to, path, connections: 2, pause: Duration::from_millis(5) };
                let running = client.start(&site.client, task)?;
                running.await_more(Outcome::Real, 20).with_context(|| format!("{server}, {client}"))?;
                let (tally, remarks) = running.stop()?;
                assert_eq!(
                    tally.count(Outcome::Real),
                    tally.samples.len(),
                    "{server}, {client}: {remarks:?}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn every_server_answers_slow_streamed_and_split_requests() -> Result<()> {
    for server in Server::ALL.into_iter().filter(|server| server.speaks(Protocol::Http1)) {
        let site = Site::serve(server)?;
        for request in [
            Request::Get("/slow/30"),
            Request::Get("/stream/3/10"),
            Request::Post(1000),
            Request::SplitPost(1000),
        ] {
            let plan = Plan::new(site.v4(), 4, Style::KeepAlive).and(site.v6()).request(request);
            let load = Load::start(&site.client, plan);
            load.await_real(20)?;
            let tally = load.stop()?;
            let real = tally.count(Outcome::Real);
            assert_eq!(real, tally.samples.len(), "{server}, {request:?}: {}", tally.summary());
        }
    }
    Ok(())
}
