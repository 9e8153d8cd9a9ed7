//! Who calls: users and roles, the keys they hold, and what they are allowed to do.

mod keys;
mod policy;
mod signature;

use serde::{Deserialize, Serialize};

pub use policy::{Policy, PolicyError};

pub(crate) use keys::{Key, KeyRing, Principal};
pub(crate) use policy::Decision;
pub(crate) use signature::{SignatureProblem, Signed};

/// A user with one long-lived access key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Name, the last part of the ARN.
    pub name: String,
    /// `AKIA...`.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// What it may do.
    #[serde(default)]
    pub policy: Policy,
}

/// A role that STS or a credential endpoint gives out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Name, the last part of the ARN.
    pub name: String,
    /// The `sts:ExternalId` that the trust policy asks for.
    #[serde(default)]
    pub external_id: Option<String>,
    /// Tokens that AssumeRoleWithWebIdentity accepts for this role.
    #[serde(default)]
    pub web_identity_tokens: Vec<String>,
    /// Longest session, in seconds (`MaxSessionDuration`).
    #[serde(default = "one_hour")]
    pub max_session_seconds: u32,
    /// What its sessions may do.
    #[serde(default)]
    pub policy: Policy,
}

impl User {
    /// The user that exists when the world names none; it may do everything.
    pub fn administrator() -> Self {
        User::new("administrator", "AKIASIMULATORADMIN00", "simulator-secret")
    }

    /// A user that may do everything.
    pub fn new(name: &str, access_key_id: &str, secret_access_key: &str) -> Self {
        User {
            name: name.to_owned(),
            access_key_id: access_key_id.to_owned(),
            secret_access_key: secret_access_key.to_owned(),
            policy: Policy::default(),
        }
    }

    /// Sets what it may do.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }
}

impl Role {
    /// A role that every principal of the account may assume and that may do everything.
    pub fn new(name: &str) -> Self {
        Role {
            name: name.to_owned(),
            external_id: None,
            web_identity_tokens: Vec::new(),
            max_session_seconds: one_hour(),
            policy: Policy::default(),
        }
    }

    /// Asks for an external id.
    pub fn external_id(mut self, id: &str) -> Self {
        self.external_id = Some(id.to_owned());
        self
    }

    /// Trusts the holder of a web identity token (IRSA).
    pub fn web_identity_token(mut self, token: &str) -> Self {
        self.web_identity_tokens.push(token.to_owned());
        self
    }

    /// Sets the longest session.
    pub fn max_session_seconds(mut self, seconds: u32) -> Self {
        self.max_session_seconds = seconds;
        self
    }

    /// Sets what its sessions may do.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }
}

fn one_hour() -> u32 {
    3600
}
