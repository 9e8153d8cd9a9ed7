//! gRPC calls through the real agent, as grpcio and @grpc/grpc-js see them; the server is grpcio's.

use anyhow::Result;
use httpfault_tests::{agent::experiment, clients::Caller, servers::Server, site::Site};

/// Asserts what each kind of call came to, for every client.
fn assert_calls(site: &Site, expected: [&str; 4]) -> Result<()> {
    for caller in Caller::ALL {
        let told = caller.call(&site.client, site.v4())?;
        let statuses: Vec<&str> =
            told.lines().map(|line| line.split(' ').nth(1).unwrap_or_default()).collect();
        assert_eq!(statuses, expected, "{caller:?}: {told}");
    }
    Ok(())
}

#[test]
fn every_kind_of_call_gets_the_status() -> Result<()> {
    let site = Site::serve(Server::Grpc)?;
    let real = ["OK", "UNIMPLEMENTED", "OK", "UNIMPLEMENTED"];
    assert_calls(&site, real)?;
    for (more, status) in [
        (&["--status-code", "503"][..], "UNAVAILABLE"),
        (&["--status-code", "401"], "UNAUTHENTICATED"),
        (&["--grpc-status", "RESOURCE_EXHAUSTED", "--grpc-message", "too much"], "RESOURCE_EXHAUSTED"),
        (&["--modify-response-body", "false"], "UNAVAILABLE"),
    ] {
        let agent = site.inject(&experiment("grpc"), more)?;
        assert_calls(&site, [status; 4])?;
        let counters = agent.terminate()?.target()?.counters;
        // A client may try a call again that was not begun.
        assert!(counters.faulted >= 8 && counters.faulted == counters.requests_http2, "{counters:?}");
        assert_calls(&site, real)?;
    }
    Ok(())
}
