//! A fuzz target of what comes back from a host: whatever a command printed, and however Systems Manager cut it.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

use super::*;
use edits::{Edits, edited};

#[path = "../../../httpfault-common/tests/hostile/edits.rs"]
mod edits;

const PRINTED: [&str; 3] = [
    r#"warning: something
{"event":"injected","experiment_id":"exp-1","at":"2026-01-01T00:00:00Z","deadline":"2026-01-01T00:01:00Z","targets":[{"target":"task a","found":"web","source":"docker"}]}
{"event":"removed","exit":0,"experiment_id":"exp-1","reason":"deadline","removed_at":"2026-01-01T00:01:00Z","targets":[{"target":"task a","outcome":"faulted","counters":{"faulted":7}}]}"#,
    r#"{"faults":[{"experiment_id":"exp-1","phase":"on","agent_pid":7,"port":80,"status_code":503,"targets":[{"target":"task a","outcome":"faulted","counters":{}}]}]}"#,
    r#"{"exit":0,"removed":[{"experiment_id":"exp-1","how":"ended"}]}"#,
];

fn compressed(text: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text).unwrap();
    format!("{COMPRESSED}{}\n", BASE64_STANDARD.encode(gzip.finish().unwrap())).into_bytes()
}

#[test]
fn output() {
    let experiment: ExperimentId = "exp-1".parse().unwrap();
    bolero::check!().with_type::<(u8, u8, Edits)>().for_each(|(which, how, edits)| {
        let printed = PRINTED[usize::from(*which) % PRINTED.len()];
        let bytes = match how % 3 {
            0 => edited(printed, edits),
            1 => compressed(&edited(printed, edits)),
            _ => edited(&String::from_utf8_lossy(&compressed(printed.as_bytes())), edits),
        };
        let text = String::from_utf8_lossy(&bytes);
        let mut task = TaskReport::default();
        events(&text).iter().for_each(|event| take_event(event, "task a", &mut task));
        if let Some(report) = status(&text) {
            let _anything = steering(&report, &experiment);
        }
        let _anything = removal(&text);
    });
}

/// The outputs are ones, or the target above would try nothing.
#[test]
fn unchanged_output_is_understood() {
    assert_eq!(events(PRINTED[0]).len(), 2);
    assert!(status(PRINTED[1]).is_some() && removal(PRINTED[2]).is_some());
    let all = String::from_utf8(compressed(PRINTED[0].as_bytes())).unwrap();
    assert_eq!(events(&all).len(), 2);
}
