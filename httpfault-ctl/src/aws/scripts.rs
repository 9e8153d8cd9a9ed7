//! The scripts that run on hosts. Their texts are files; what is put into them is hex, base64 or a number by type, so
//! nothing that a user typed is ever read by a shell or by SSM's `{{ }}` syntax.

use std::{collections::BTreeMap, io::Write};

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::{Compression, write::GzEncoder};
use httpfault_common::contract::{ExperimentId, SpecError};

use super::{
    limit::{CASES_BYTES, INSTANCES_PER_COMMAND},
    presign::Address,
};
use crate::{fleet::InstanceId, plan::HostRun, tunables::Architecture};

/// A command that reaches a host later than this after it was sent does nothing; clocks may differ by most of it.
pub(crate) const LATEST_START_SECS: i64 = 300;

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
const CHOOSE_WORDS: &str = include_str!("scripts/choose_words.sh");
const DOCUMENT: &str = include_str!("scripts/document.sh");
const CHOOSE: &str = include_str!("scripts/choose.sh");
const STATUS: &str = include_str!("scripts/status.sh");
const REMOVE: &str = include_str!("scripts/remove.sh");
const FIND: &str = include_str!("scripts/find.sh");
const LOCATE: &str = include_str!("scripts/locate.sh");
const KNOWN: &str = include_str!("scripts/known.sh");
const FIS: &str = include_str!("scripts/fis.sh");
const TELL: &str = include_str!("scripts/tell.sh");

/// Text that means nothing to a shell: letters, digits, `+ / = -` and spaces between words.
#[derive(Clone, Debug)]
struct Inert(String);

/// What a host is to do: as a script for AWS-RunShellScript, and as words that the document of one's own knows.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(super) script: String,
    words: Vec<String>,
}

/// Work and the instances that do it.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) script: Work,
    pub(crate) instances: Vec<InstanceId>,
}

/// The agent with this checksum: there, or which pieces of it.
pub(crate) fn probe(sha256: &str) -> Work {
    let sha = Inert::hex(sha256);
    Work::new("probe", fill(PROBE, &[("SHA", sha.clone())]), [sha])
}

/// One piece of the compressed agent, named by the beginning of its checksum.
pub(crate) fn piece(sha256: &str, name: &str, data: &[u8]) -> Work {
    let values = [("SHA", Inert::hex(sha256)), ("PIECE", Inert::hex(name)), ("DATA", Inert::base64(data))];
    Work::new("piece", fill(PIECE, &values), values.map(|(_, value)| value))
}

/// All pieces, in order, become the agent.
pub(crate) fn install(sha256: &str, pieces: &[String]) -> Work {
    let script = INSTALL.replace("@PRUNE@", PRUNE.trim_end());
    let script = fill(&script, &[("SHA", Inert::hex(sha256)), ("PIECES", Inert::hexes(pieces))]);
    let words = std::iter::once(sha256).chain(pieces.iter().map(String::as_str));
    Work::new("install", script, words.map(Inert::hex))
}

/// Hosts download the agent from anywhere.
pub(crate) fn from_url(sha256: &str, url: &str) -> Work {
    bring("url", &from_url_script(), sha256, &[("URL", url)])
}

fn from_url_script() -> String {
    bring_script(&format!(
        "{GET_URL}download \"$(printf %s '@URL@' | base64 -d)\" || {{ echo \"$(why)\" >&2; exit 1; }}"
    ))
}

/// Hosts read an object by their own role, else by the presigned URL.
pub(crate) fn from_s3(sha256: &str, name: &str, address: &Address) -> Work {
    let values = [
        ("NAME", name),
        ("OBJECT", &address.plain),
        ("REGION", &address.region),
        ("SIGNED", &address.presigned),
    ];
    bring("s3", &from_s3_script(), sha256, &values)
}

fn from_s3_script() -> String {
    bring_script(&format!("{ROLE}{GET_URL}{GET_S3}"))
}

/// Hosts take the agent out of an image.
pub(crate) fn from_image(sha256: &str, image: &str) -> Work {
    bring("image", &from_image_script(), sha256, &[("IMAGE", image)])
}

fn from_image_script() -> String {
    bring_script(&format!("{ROLE}{GET_IMAGE}"))
}

fn bring_script(get: &str) -> String {
    BRING.replace("@GET@", get.trim_end()).replace("@PRUNE@", PRUNE.trim_end())
}

fn bring(verb: &str, script: &str, sha256: &str, values: &[(&str, &str)]) -> Work {
    let sha = ("SHA", Inert::hex(sha256));
    let texts = values.iter().map(|(name, text)| (*name, Inert::base64(text.as_bytes())));
    let values: Vec<(&str, Inert)> = std::iter::once(sha).chain(texts).collect();
    Work::new(verb, fill(script, &values), values.into_iter().map(|(_, value)| value))
}

/// The faults that are on: all, or one experiment's.
pub(crate) fn status(experiment: Option<&ExperimentId>) -> Work {
    Work::new("status", with_parts(STATUS).replace("@WHICH@", &which(experiment, "")), id(experiment))
}

/// Ends one experiment's fault, or every fault on the host, and tells what is on after that.
pub(crate) fn remove(experiment: Option<&ExperimentId>) -> Work {
    Work::new("remove", with_parts(REMOVE).replace("@WHICH@", &which(experiment, "--all")), id(experiment))
}

/// A script with the parts that it shares with others.
fn with_parts(script: &str) -> String {
    let parts = [("@FIND@", FIND), ("@LOCATE@", LOCATE), ("@TELL@", TELL)];
    parts.iter().fold(script.to_owned(), |script, (name, part)| script.replace(name, part.trim_end()))
}

fn id(experiment: Option<&ExperimentId>) -> Option<Inert> {
    experiment.map(|id| Inert::base64(id.as_str().as_bytes()))
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
    let mut batch = Batching::default();
    for (run, sha256) in runs {
        let (sha, spec) = (Inert::hex(sha256), Inert::of(run.spec.encode()?));
        let case = format!("{}) sha={} spec={} ;;\n", run.instance, sha.0, spec.0);
        let full =
            batch.instances.len() == INSTANCES_PER_COMMAND || batch.cases.len() + case.len() > CASES_BYTES;
        if full && !batch.instances.is_empty() {
            batches.push(std::mem::take(&mut batch).finish(not_after));
        }
        batch.cases.push_str(&case);
        batch.words.extend([run.instance.to_string(), sha.0, spec.0]);
        batch.instances.push(run.instance.clone());
    }
    if !batch.instances.is_empty() {
        batches.push(batch.finish(not_after));
    }
    Ok(batches)
}

/// A batch that is being filled.
#[derive(Default)]
struct Batching {
    cases: String,
    words: Vec<String>,
    instances: Vec<InstanceId>,
}

impl Batching {
    fn finish(self, not_after: i64) -> Batch {
        let not_after = not_after.to_string();
        let script =
            with_parts(INJECT).replace("@CHOOSE@", CHOOSE.trim_end()).replace("@NOT_AFTER@", &not_after);
        let script = script.replace("@CASES@", self.cases.trim_end());
        let words = ["run".to_owned(), not_after].into_iter().chain(self.words).collect();
        Batch { script: Work { script, words }, instances: self.instances }
    }
}

/// The script of the document of one's own: every script above, with the words of the request in place of its values.
pub(super) fn document(sums: &BTreeMap<Architecture, &str>) -> String {
    with_functions(DOCUMENT, sums)
}

/// The script of the document for AWS FIS: the same functions, asked by parameters.
pub(super) fn fis(sums: &BTreeMap<Architecture, &str>) -> String {
    with_functions(FIS, sums)
}

fn with_functions(entry: &str, sums: &BTreeMap<Architecture, &str>) -> String {
    let known = |script: &str| script.replace("@SHA@", "$sha");
    let words = |script: &str, names: &[&str]| {
        names.iter().enumerate().fold(known(script), |script, (number, name)| {
            script.replace(&format!("'@{name}@'"), &format!("\"${}\"", number + 1))
        })
    };
    // Once for all of them.
    let shared = |script: &str| {
        let script = script.replace("@FIND@", "find_agent").replace("@LOCATE@", "locate_agent");
        script.replace("@TELL@\n", "")
    };
    let parts = [("find_agent", FIND), ("locate_agent", LOCATE)];
    let parts = parts.map(|(name, body)| format!("{name}() {{\n{}\n}}\n", body.trim_end()));
    let parts = format!("{}\n{}", TELL.trim_end(), parts.concat());
    let which = |script: &str, otherwise: &str| {
        let choose = format!(
            "set -- ${{1:+--experiment-id \"$(decoded \"$1\")\"}}\n[ $# -gt 0 ] || set -- {otherwise}\n"
        );
        format!("{choose}{}", shared(script).replace("@WHICH@", "\"$@\""))
    };
    let install = INSTALL.replace("@PRUNE@", PRUNE.trim_end()).replace("@PIECES@", "$*");
    let inject = shared(INJECT).replace("@CHOOSE@", CHOOSE_WORDS.trim_end()).replace("@NOT_AFTER@", "\"$1\"");
    let functions = [
        ("probe", known(PROBE)),
        ("piece", words(PIECE, &["PIECE", "DATA"])),
        ("install", known(&install)),
        ("url", words(&from_url_script(), &["URL"])),
        ("s3", words(&from_s3_script(), &["NAME", "OBJECT", "REGION", "SIGNED"])),
        ("image", words(&from_image_script(), &["IMAGE"])),
        ("run", inject),
        ("status", which(STATUS, "")),
        ("remove", which(REMOVE, "--all")),
    ];
    let functions = functions
        .iter()
        .filter(|(verb, _)| asks(entry, verb))
        .map(|(verb, body)| format!("do_{verb}() {{\n{}\n}}", body.trim_end()));
    let functions = functions.collect::<Vec<_>>().join("\n");
    let script =
        entry.replace("@KNOWN@", KNOWN.trim_end()).replace("@FUNCTIONS@", &format!("{parts}{functions}"));
    let sum = |architecture| Inert::hex(sums.get(&architecture).copied().unwrap_or_default());
    fill(&script, &[("X86_64", sum(Architecture::X86_64)), ("AARCH64", sum(Architecture::Aarch64))])
}

/// Whether a document's own lines call this function, by its name or by any name.
fn asks(entry: &str, verb: &str) -> bool {
    entry.contains("do_$verb")
        || entry.contains(&format!("do_{verb} "))
        || entry.contains(&format!("do_{verb})"))
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

// === impl Work ===

impl Work {
    fn new(verb: &str, script: String, words: impl IntoIterator<Item = Inert>) -> Self {
        let words = words.into_iter().map(|word| word.0);
        Self { script, words: std::iter::once(verb.to_owned()).chain(words).collect() }
    }

    /// The one parameter of the document: the words, gzipped, in base64.
    pub(super) fn request(&self) -> std::io::Result<String> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(self.words.join(" ").as_bytes())?;
        Ok(BASE64_STANDARD.encode(encoder.finish()?))
    }
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
        let all = [
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
        ];
        all.into_iter().map(|work| work.script).collect()
    }

    /// A word between two `@`; `"$@"` is not one.
    fn blank(script: &str) -> Option<&str> {
        let mut words = script.split('@').skip(1);
        words.find(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    }

    #[test]
    fn every_blank_is_filled_and_ssm_has_nothing_to_expand() {
        for script in all() {
            assert_eq!(blank(&script), None, "{script}");
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
            architecture: Architecture::X86_64,
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
            assert!(
                batches
                    .iter()
                    .all(|batch| batch.script.script.len() < 60_000 && blank(&batch.script.script).is_none())
            );
            let each = batches.iter().flat_map(|batch| &batch.instances);
            let told = each.filter(|id| {
                batches.iter().any(|batch| batch.script.script.contains(&format!("{id}) sha=")))
            });
            assert_eq!(told.count(), count);
            batches.iter().map(|batch| batch.instances.len()).collect()
        };
        assert_eq!(sizes(125, 0), [50, 50, 25]);
        // Two bodies of 16 KB fit in a document of 64 KB, three do not.
        assert_eq!(sizes(5, 16_000), [2, 2, 1]);
    }

    #[test]
    fn no_hostile_text_gets_into_a_script() {
        let script = from_url("'; rm -rf / #", "https://x/'$(id)'`id`{{ssm:x}}").script;
        assert!(
            !script.contains("$(id)") && !script.contains("rm -rf / #") && !script.contains("{{"),
            "{script}"
        );
    }
}
