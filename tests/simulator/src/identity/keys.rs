//! Access keys that the simulator knows: those of users, and those of sessions that it issued.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};

use super::{Policy, Role, User};
use crate::world::{World, hex};

/// Who stands behind a key.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    pub(crate) arn: String,
    pub(crate) user_id: String,
    pub(crate) policy: Policy,
}

/// An access key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) principal: Principal,
}

#[derive(Debug, Default)]
pub(crate) struct KeyRing {
    keys: HashMap<String, Key>,
}

impl KeyRing {
    /// The keys of the world's users, or of the default administrator.
    pub(crate) fn of(world: &World) -> Self {
        let default = [User::administrator()];
        let users = if world.users.is_empty() { &default[..] } else { &world.users };
        let keys = users.iter().map(|user| (user.access_key_id.clone(), user_key(&world.account, user)));
        KeyRing { keys: keys.collect() }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Key> {
        self.keys.get(id)
    }

    /// Issues keys for a session of a role.
    pub(crate) fn issue(
        &mut self,
        account: &str,
        role: &Role,
        session: &str,
        lifetime: SignedDuration,
    ) -> Key {
        let key = Key {
            id: format!("ASIA{}", hex(16).to_ascii_uppercase()),
            secret: hex(40),
            token: Some(STANDARD.encode(hex(96))),
            expires: Timestamp::now().checked_add(lifetime).ok(),
            principal: Principal {
                arn: format!("arn:aws:sts::{account}:assumed-role/{}/{session}", role.name),
                user_id: format!("AROASIMULATOR0000000:{session}"),
                policy: role.policy.clone(),
            },
        };
        self.keys.insert(key.id.clone(), key.clone());
        key
    }

    /// Makes every session that was issued so far expire now. Returns how many there were.
    pub(crate) fn expire_sessions(&mut self) -> usize {
        let sessions = self.keys.values_mut().filter(|key| key.token.is_some());
        sessions.map(|key| key.expires = Some(Timestamp::UNIX_EPOCH)).count()
    }
}

impl Key {
    pub(crate) fn expired(&self) -> bool {
        self.expires.is_some_and(|expires| expires <= Timestamp::now())
    }
}

fn user_key(account: &str, user: &User) -> Key {
    Key {
        id: user.access_key_id.clone(),
        secret: user.secret_access_key.clone(),
        token: None,
        expires: None,
        principal: Principal {
            arn: format!("arn:aws:iam::{account}:user/{}", user.name),
            user_id: "AIDASIMULATOR0000000".to_owned(),
            policy: user.policy.clone(),
        },
    }
}
