//! Fuzz targets of what travels between controller and agent: nothing panics, and what can be read can be written.
#![cfg(feature = "contract")]
#![expect(clippy::unwrap_used, reason = "helpers of tests, which end with them")]

mod edits;

use std::{fs, path::PathBuf};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use edits::{Edits, edited};
use httpfault_common::contract::{Event, RemoveReport, RunSpec, StatusReport};
use serde::{Serialize, de::DeserializeOwned};

/// A spec with everything in it.
const SPEC: &str = r#"{"experiment_id":"exp-1","targets":[{"kind":"task","id":"0123456789abcdef","container":"web"},
    {"kind":"container","id":"web"},{"kind":"pid","pid":7}],"port":80,"proxy_port":20000,"interface":"auto","duration_secs":60,
    "existing_connections":"drain","fault":{"status":503,"replacement":{"body":"a","content_type":"text/plain"},
    "headers":["Retry-After: 1"],"marker":true,"percent":50.5,"seed":1,"grpc":{"status":14},
    "selection":{"paths":["/a"],"methods":["GET"],"headers":["X: y"],"exclude_paths":["/b"]}}}"#;

/// Every line that an agent of any release printed.
fn golden() -> Vec<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
    let releases = fs::read_dir(root).unwrap().map(|release| release.unwrap().path());
    let files = releases.flat_map(|release| fs::read_dir(release).unwrap()).map(|file| file.unwrap().path());
    files
        .flat_map(|file| fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

fn reads<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(read) = serde_json::from_slice::<T>(bytes) {
        let written = serde_json::to_vec(&read).unwrap();
        assert_eq!(serde_json::from_slice::<T>(&written).unwrap(), read);
    }
}

#[test]
fn reports() {
    let lines = golden();
    assert!(!lines.is_empty());
    bolero::check!().with_type::<(u8, Edits)>().for_each(|(line, edits)| {
        let bytes = edited(&lines[usize::from(*line) % lines.len()], edits);
        reads::<Event>(&bytes);
        reads::<StatusReport>(&bytes);
        reads::<RemoveReport>(&bytes);
    });
}

#[test]
fn specs() {
    bolero::check!().with_type::<(bool, Edits)>().for_each(|(encoded, edits)| {
        let text = if *encoded {
            String::from_utf8_lossy(&edited(&BASE64_STANDARD.encode(SPEC), edits)).into_owned()
        } else {
            BASE64_STANDARD.encode(edited(SPEC, edits))
        };
        let Ok(spec) = RunSpec::decode(&text) else { return };
        if spec.check().is_ok() {
            assert_eq!(RunSpec::decode(&spec.encode().unwrap()).unwrap(), spec);
        }
    });
}

/// The example is one, or the target above would try nothing.
#[test]
fn the_spec_is_a_good_one() {
    let spec = RunSpec::decode(&BASE64_STANDARD.encode(SPEC)).unwrap();
    assert!(spec.check().is_ok(), "{:?}", spec.check());
}
