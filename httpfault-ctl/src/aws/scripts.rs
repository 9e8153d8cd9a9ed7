//! The scripts that run on hosts. Their texts are files; what is put into them is hex, base64 or a number by type, so
//! nothing that a user typed is ever read by a shell or by SSM's `{{ }}` syntax.

use base64::{Engine, prelude::BASE64_STANDARD};
use httpfault_common::contract::{ExperimentId, SpecError};

use super::presign::Address;
use crate::{
    fleet::InstanceId,
    plan::{HostRun, INSTANCES_PER_COMMAND},
};

const PROBE: &str = include_str!("scripts/probe.sh");
const PIECE: &str = include_str!("scripts/piece.sh");
const INSTALL: &str = include_str!("scripts/install.sh");
const BRING: &str = include_str!("scripts/bring.sh");
const GET_URL: &str = include_str!("scripts/get_url.sh");
const GET_S3: &str = include_str!("scripts/get_s3.sh");
const GET_IMAGE: &str = include_str!("scripts/get_image.sh");
const ROLE: &str = include_str!("scripts/role.sh");
const PRUNE: &str = include_str!("scripts/prune.sh");
const INJECT: &str = include_str!("scripts/inject.sh");
const STATUS: &str = include_str!("scripts/status.sh");
const REMOVE: &str = include_str!("scripts/remove.sh");
const FIND: &str = include_str!("scripts/find.sh");

/// Room for specs in one script: an SSM document with its parameters is at most 64 KB.
const MAX_CASES_BYTES: usize = 54_000;

/// Text that means nothing to a shell: letters, digits, `+ / = -` and spaces between words.
#[derive(Clone, Debug)]
struct Inert(String);

/// One script and the instances that run it.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) script: String,
    pub(crate) instances: Vec<InstanceId>,
}

/// The agent with this checksum: there, or which pieces of it.
pub(crate) fn probe(sha256: &str) -> String {
    fill(PROBE, &[("SHA", Inert::hex(sha256))])
}

/// One piece of the compressed agent, named by the beginning of its checksum.
pub(crate) fn piece(sha256: &str, name: &str, data: &[u8]) -> String {
    fill(PIECE, &[("SHA", Inert::hex(sha256)), ("PIECE", Inert::hex(name)), ("DATA", Inert::base64(data))])
}

/// All pieces, in order, become the agent.
pub(crate) fn install(sha256: &str, pieces: &[String]) -> String {
    let script = INSTALL.replace("@PRUNE@", PRUNE.trim_end());
    fill(&script, &[("SHA", Inert::hex(sha256)), ("PIECES", Inert::hexes(pieces))])
}

/// Hosts download the agent from anywhere.
pub(crate) fn from_url(sha256: &str, url: &str) -> String {
    let get = format!(
        "{GET_URL}download \"$(printf %s '@URL@' | base64 -d)\" || {{ echo \"$(why)\" >&2; exit 1; }}"
    );
    bring(sha256, &get, &[("URL", Inert::base64(url.as_bytes()))])
}

/// Hosts read an object by their own role, else by the presigned URL.
pub(crate) fn from_s3(sha256: &str, name: &str, address: &Address) -> String {
    let values = [
        ("NAME", Inert::base64(name.as_bytes())),
        ("OBJECT", Inert::base64(address.plain.as_bytes())),
        ("REGION", Inert::base64(address.region.as_bytes())),
        ("SIGNED", Inert::base64(address.presigned.as_bytes())),
    ];
    bring(sha256, &format!("{ROLE}{GET_URL}{GET_S3}"), &values)
}

/// Hosts take the agent out of an image.
pub(crate) fn from_image(sha256: &str, image: &str) -> String {
    bring(sha256, &format!("{ROLE}{GET_IMAGE}"), &[("IMAGE", Inert::base64(image.as_bytes()))])
}

fn bring(sha256: &str, get: &str, values: &[(&str, Inert)]) -> String {
    let script = BRING.replace("@GET@", get.trim_end()).replace("@PRUNE@", PRUNE.trim_end());
    fill(&fill(&script, &[("SHA", Inert::hex(sha256))]), values)
}

/// The faults that are on: all, or one experiment's.
pub(crate) fn status(experiment: Option<&ExperimentId>) -> String {
    STATUS.replace("@FIND@", FIND.trim_end()).replace("@WHICH@", &which(experiment, ""))
}

/// Ends one experiment's fault, or every fault on the host.
pub(crate) fn remove(experiment: Option<&ExperimentId>) -> String {
    REMOVE.replace("@FIND@", FIND.trim_end()).replace("@WHICH@", &which(experiment, "--all"))
}

/// The command that an operator would type on a host.
pub(crate) fn command_line(sha256: &str, run: &HostRun) -> Result<String, SpecError> {
    let spec = run.spec.encode()?;
    Ok(format!("/var/lib/httpfault/agents/{sha256}/httpfault-agent run --output json --spec {spec}"))
}

/// Each host's run, as few scripts as the limits allow.
///
/// `not_after` is the time, in seconds since 1970, after which a late command does nothing.
pub(crate) fn inject(runs: &[(&HostRun, &str)], not_after: i64) -> Result<Vec<Batch>, SpecError> {
    let mut batches = Vec::new();
    let mut cases = String::new();
    let mut instances = Vec::new();
    for (run, sha256) in runs {
        let (sha, spec) = (Inert::hex(sha256), Inert::of(run.spec.encode()?));
        let case = format!("{}) sha={} spec={} ;;\n", run.instance, sha.0, spec.0);
        let full = instances.len() == INSTANCES_PER_COMMAND || cases.len() + case.len() > MAX_CASES_BYTES;
        if full && !instances.is_empty() {
            batches.push(batch(&cases, std::mem::take(&mut instances), not_after));
            cases.clear();
        }
        cases.push_str(&case);
        instances.push(run.instance.clone());
    }
    if !instances.is_empty() {
        batches.push(batch(&cases, instances, not_after));
    }
    Ok(batches)
}

fn batch(cases: &str, instances: Vec<InstanceId>, not_after: i64) -> Batch {
    let script = INJECT.replace("@NOT_AFTER@", &not_after.to_string()).replace("@CASES@", cases.trim_end());
    Batch { script, instances }
}

/// An experiment id goes as base64 too, although its letters are harmless: one rule for everything.
fn which(experiment: Option<&ExperimentId>, otherwise: &str) -> String {
    match experiment {
        Some(id) => {
            let inert = Inert::base64(id.as_str().as_bytes());
            format!("--experiment-id \"$(printf %s {} | base64 -d)\"", inert.0)
        }
        None => otherwise.to_owned(),
    }
}

fn fill(template: &str, values: &[(&str, Inert)]) -> String {
    values
        .iter()
        .fold(template.to_owned(), |text, (name, value)| text.replace(&format!("@{name}@"), &value.0))
}

// === impl Inert ===

impl Inert {
    fn base64(bytes: &[u8]) -> Self {
        Self(BASE64_STANDARD.encode(bytes))
    }

    fn hex(text: &str) -> Self {
        Self::of(text.to_owned())
    }

    fn hexes(texts: &[String]) -> Self {
        Self(texts.iter().map(|text| Self::hex(text).0).collect::<Vec<_>>().join(" "))
    }

    /// Drops every character that could mean something; what this program makes has none.
    fn of(text: String) -> Self {
        Self(text.chars().filter(|c| c.is_ascii_alphanumeric() || "+/=".contains(*c)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Address {
        let url = || url.to_owned();
        Address { plain: url(), presigned: url(), region: "x".to_owned() }
    }

    fn all() -> Vec<String> {
        let sha = "ab".repeat(32);
        let id = "exp-1.x".parse().unwrap();
        vec![
            probe(&sha),
            piece(&sha, "0123456789abcdef", &[0xff; 44_000]),
            install(&sha, &vec!["0123456789abcdef".to_owned(); 40]),
            from_url(&sha, "https://example.com/a?b='$(touch /tmp/x)'"),
            from_s3(&sha, "s3://b/'$(id)'", &address("https://b.s3.x.amazonaws.com/'$(id)'")),
            from_image(&sha, "registry.example.com/$(id):1"),
            status(None),
            status(Some(&id)),
            remove(None),
            remove(Some(&id)),
        ]
    }

    #[test]
    fn every_blank_is_filled_and_ssm_has_nothing_to_expand() {
        for script in all() {
            let blank = script.split('@').nth(1).filter(|word| word.chars().all(|c| c.is_ascii_uppercase()));
            assert_eq!(blank, None, "{script}");
            assert!(!script.contains("{{"), "{script}");
            assert!(script.len() < 62_000, "{} bytes", script.len());
        }
    }

    fn runs(count: usize, body: usize) -> Vec<HostRun> {
        let spec = format!(
            r#"{{"experiment_id":"e","targets":[{{"kind":"container","id":"c"}}],"port":80,"proxy_port":20000,"interface":"auto",
            "duration_secs":60,"existing_connections":"drain","fault":{{"status":503,"replacement":{{"body":"{}"}},"marker":true,"percent":100.0}}}}"#,
            "x".repeat(body)
        );
        let spec: httpfault_common::contract::RunSpec = serde_json::from_str(&spec).unwrap();
        let run = |number: usize| HostRun {
            instance: InstanceId::new(&format!("i-{number:017}")).unwrap(),
            architecture: crate::tunables::Architecture::X86_64,
            spec: spec.clone(),
            tasks: vec![number],
        };
        (0..count).map(run).collect()
    }

    #[test]
    fn hosts_share_a_command_up_to_both_limits() {
        let sha = "ab".repeat(32);
        let sizes = |count: usize, body: usize| -> Vec<usize> {
            let runs = runs(count, body);
            let runs: Vec<(&HostRun, &str)> = runs.iter().map(|run| (run, sha.as_str())).collect();
            let batches = inject(&runs, 1).unwrap();
            assert!(batches.iter().all(|batch| batch.script.len() < 60_000 && !batch.script.contains('@')));
            let each = batches.iter().flat_map(|batch| &batch.instances);
            let told =
                each.filter(|id| batches.iter().any(|batch| batch.script.contains(&format!("{id}) sha="))));
            assert_eq!(told.count(), count);
            batches.iter().map(|batch| batch.instances.len()).collect()
        };
        assert_eq!(sizes(125, 0), [50, 50, 25]);
        // Two bodies of 16 KB fit in a document of 64 KB, three do not.
        assert_eq!(sizes(5, 16_000), [2, 2, 1]);
    }

    #[test]
    fn no_hostile_text_gets_into_a_script() {
        let script = from_url("'; rm -rf / #", "https://x/'$(id)'`id`{{ssm:x}}");
        assert!(
            !script.contains("$(id)") && !script.contains("rm -rf / #") && !script.contains("{{"),
            "{script}"
        );
    }
}
