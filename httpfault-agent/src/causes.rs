//! Why a fault may have touched no request, from what was seen. No I/O.

use httpfault_common::contract::Counters;

/// What may also be true of a part of the connections, and then is worth a warning.
pub(crate) const PROXY_PROTOCOL: &str = "connection(s) began with a PROXY protocol header, which a load balancer sends \
    where its target group says so, and were passed through";

/// Likely causes, most telling first; never empty.
pub(crate) fn of_no_traffic(counters: &Counters, percent: f64) -> Vec<String> {
    if percent == 0.0 {
        return vec!["0 percent of the requests were to be faulted".into()];
    }
    let mut causes = Vec::new();
    let mut say = |count: u64, cause: &str| {
        if count > 0 {
            causes.push(format!("{count} {cause}"));
        }
    };
    say(
        counters.tls,
        "connection(s) carried TLS and were passed through: the service terminates HTTPS itself",
    );
    let proxied = counters.proxy_protocol;
    say(proxied, PROXY_PROTOCOL);
    say(counters.not_http.saturating_sub(proxied), "connection(s) carried no HTTP and were passed through");
    say(counters.spared, "request(s) were not selected (path, method, header, exclusion or percent)");
    say(
        counters.passed_open,
        "connection(s) were passed to the application because the agent was late or overloaded",
    );
    let steered = counters.connections_inbound + counters.connections_in_task;
    let requests = counters.requests_http10 + counters.requests_http11 + counters.requests_http2;
    let silent = steered.saturating_sub(counters.tls + counters.not_http);
    if requests == 0 {
        say(silent, "connection(s) were opened and carried no request");
    }
    if steered == 0 {
        say(
            counters.existing_still_open,
            "connection(s) from before the fault stayed open and carried the traffic, if there was any: \
             use existing connections `reset`",
        );
        say(
            counters.other_ports,
            "connection attempt(s) went to other ports of the same namespace: is it the right port?",
        );
    }
    if causes.is_empty() {
        causes.push("no client connected to the target while the fault was on".into());
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_observation_names_its_cause() {
        let tls = Counters { connections_inbound: 3, tls: 3, ..Counters::default() };
        assert!(of_no_traffic(&tls, 100.0)[0].starts_with("3 connection(s) carried TLS"));
        assert_eq!(of_no_traffic(&tls, 100.0).len(), 1);

        let proxied = Counters { not_http: 2, proxy_protocol: 2, ..Counters::default() };
        assert!(of_no_traffic(&proxied, 100.0)[0].contains("PROXY protocol"));
        assert_eq!(of_no_traffic(&proxied, 100.0).len(), 1);

        let pooled = Counters { existing_found: 2, existing_still_open: 2, ..Counters::default() };
        assert!(of_no_traffic(&pooled, 100.0)[0].contains("from before the fault"));

        let elsewhere = Counters { other_ports: 7, ..Counters::default() };
        assert!(of_no_traffic(&elsewhere, 100.0)[0].contains("right port"));

        assert_eq!(
            of_no_traffic(&Counters::default(), 100.0),
            ["no client connected to the target while the fault was on"]
        );
    }
}
