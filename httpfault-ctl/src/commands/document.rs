//! `document`: the Systems Manager document that a role can be given in place of AWS-RunShellScript, and the one for FIS.

use anyhow::bail;
use httpfault_common::contract::Exit;

use crate::{
    agents,
    aws::{Cloud, DocumentKind, Kept},
    console::Console,
    report,
    tunables::{Access, Agents},
};

/// Prints the document, or keeps it in the account.
pub(super) async fn document(
    kind: DocumentKind,
    access: &Access,
    settings: &Agents,
    register: bool,
    console: &Console,
) -> anyhow::Result<Exit> {
    let agents = agents::find(settings)?;
    if agents.is_empty() {
        bail!(
            "the document holds the agents' checksums, and there is neither an agent nor AGENT_SHA256; set AGENT_DIR"
        );
    }
    let content = kind.content(&agents);
    if !register {
        report::write_out(&serde_json::to_string_pretty(&content)?);
        return Ok(Exit::Done);
    }
    let name = access.document.as_deref().unwrap_or(kind.name());
    let kept = Cloud::connect(access).await?.keep_document(name, &content).await?;
    let what = match kept {
        Kept::Created => "created",
        Kept::Updated => "updated, and its new version is the default",
        Kept::Unchanged => "as it should be already",
    };
    console.say(&format!("document {name} in {}: {what}", access.region));
    for (architecture, agent) in &agents {
        console.say(&format!("  {architecture}: agent {}", agent.sha256));
    }
    if kind == DocumentKind::Fis {
        return Ok(Exit::Done);
    }
    console.say(&format!(
        "use it with SSM_DOCUMENT={name}; `httpfault-ctl policy --ssm-document {name}` allows nothing else"
    ));
    Ok(Exit::Done)
}
