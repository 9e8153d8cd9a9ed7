//! Where the agent comes from.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    parse::{is_image, is_sha256},
    raw::Raw,
    settings::{Agents, Architecture, Delivery, S3Uri},
    table as t,
};

/// AGENT_DELIVERY as typed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Auto,
    S3,
    Ecr,
    Url,
    Ssm,
    Preinstalled,
}

/// Longest URL: a presigned one of a web identity has some 2,500 characters.
const URL_CHARS: usize = 8192;

pub(super) fn read_agents(raw: &mut Raw) -> Agents {
    let delivery = read_delivery(raw);
    let mut checksums = BTreeMap::new();
    for text in raw.list(&t::AGENT_SHA256) {
        let pair = text
            .split_once('=')
            .map(|(name, hex)| (Architecture::named(name.trim()), hex.trim().to_lowercase()));
        match pair {
            Some((Some(architecture), hex)) if is_sha256(&hex) => drop(checksums.insert(architecture, hex)),
            _ => raw.wrong(&t::AGENT_SHA256, &text, "x86_64=<64 hex digits> and aarch64=<64 hex digits>"),
        }
    }
    let dir = raw.text(&t::AGENT_DIR).map(PathBuf::from);
    Agents { install: raw.switch(&t::INSTALL_DEPENDENCIES), delivery, dir, checksums }
}

fn read_delivery(raw: &mut Raw) -> Delivery {
    let words = [
        ("auto", Wanted::Auto),
        ("s3", Wanted::S3),
        ("ecr", Wanted::Ecr),
        ("url", Wanted::Url),
        ("ssm", Wanted::Ssm),
        ("preinstalled", Wanted::Preinstalled),
    ];
    let wanted = raw.choice(&t::AGENT_DELIVERY, &words, Wanted::Auto);
    let is_url = |text: &str| {
        (text.starts_with("https://") || text.starts_with("http://"))
            && text.len() <= URL_CHARS
            && text.chars().all(|c| c.is_ascii_graphic() && c != '"' && c != '\\')
    };
    let is_s3 = |text: &str| S3Uri::new(text).is_some();
    let s3 = raw.formed(&t::AGENT_S3_URI, is_s3, "s3://bucket/key, with {arch} for x86_64 or aarch64");
    let image = raw.formed(
        &t::AGENT_IMAGE,
        is_image,
        "an image such as 123456789012.dkr.ecr.eu-west-1.amazonaws.com/httpfault:1",
    );
    let url = raw.formed(&t::AGENT_URL, is_url, "an http:// or https:// URL of printable ASCII characters");
    let ways = [
        (Wanted::S3, "s3", &t::AGENT_S3_URI, s3.and_then(|text| S3Uri::new(&text)).map(Delivery::S3)),
        (Wanted::Ecr, "ecr", &t::AGENT_IMAGE, image.map(Delivery::Image)),
        (Wanted::Url, "url", &t::AGENT_URL, url.map(Delivery::Url)),
    ];
    let mut taken: Option<(&'static str, Delivery)> = None;
    for (way, word, tunable, given) in ways {
        let meant = wanted == Wanted::Auto || wanted == way;
        match (given, &taken) {
            (Some(delivery), None) if meant => taken = Some((tunable.variable, delivery)),
            (Some(_), Some((first, _))) if meant => {
                let name = raw.name(tunable);
                raw.warnings.push(format!("{name} is not used: {first} is (AGENT_DELIVERY={word} takes it)"));
            }
            (None, _) if wanted == way && !raw.is_set(tunable) => {
                let missing = format!("is not set, and AGENT_DELIVERY={word} needs it");
                raw.mistake(tunable.variable, "", missing);
            }
            _ => {}
        }
    }
    match (wanted, taken) {
        (Wanted::Preinstalled, _) => Delivery::Preinstalled,
        (_, Some((_, delivery))) => delivery,
        _ => Delivery::Pieces,
    }
}
