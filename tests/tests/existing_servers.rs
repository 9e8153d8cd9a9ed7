//! Connections of real clients to real servers, and a fault that comes and goes. The test bed itself first: what is
//! counted as real, lost or cut later on is an answer of every server to every client.

use std::time::Duration;

use anyhow::{Result, ensure};
use httpfault_tests::{
    clients::{Client, Task},
    load::{Load, Outcome, Plan, Request, Style},
    servers::{Protocol, Server},
    site::Site,
};

/// Looks at every server, and tells all that fail.
fn each(servers: impl IntoIterator<Item = Server>, look: impl Fn(Server) -> Result<()>) -> Result<()> {
    let fails = |server: Server| look(server).err().map(|error| format!("{server}: {error:#}"));
    let failures: Vec<String> = servers.into_iter().filter_map(fails).collect();
    ensure!(failures.is_empty(), "\n{}", failures.join("\n"));
    Ok(())
}

fn speaking(protocol: Protocol) -> impl Iterator<Item = Server> {
    Server::ALL.into_iter().filter(move |server| server.speaks(protocol))
}

#[test]
fn every_client_is_answered_by_every_server() -> Result<()> {
    each(Server::ALL, |server| {
        let site = Site::serve(server)?;
        let clients = Client::ALL.into_iter().filter(|client| server.speaks(client.protocol()));
        // In turn over both families.
        for (client, to) in clients.zip(site.addresses().into_iter().cycle()) {
            let path = if client == Client::Grpc { "Slow/1" } else { "" };
            let task = Task { to, path, connections: 2, pause: Duration::from_millis(5) };
            let running = client.start(&site.client, task)?;
            running.await_more(Outcome::Real, 20)?;
            let (tally, remarks) = running.stop()?;
            ensure!(tally.count(Outcome::Real) == tally.samples.len(), "{client}: {remarks:?}");
        }
        Ok(())
    })
}

#[test]
fn every_server_answers_slow_streamed_and_split_requests() -> Result<()> {
    each(speaking(Protocol::Http1), |server| {
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
            ensure!(real == tally.samples.len(), "{request:?}: {}", tally.summary());
        }
        Ok(())
    })
}
