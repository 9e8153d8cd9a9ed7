//! Variables that look like ours and are not: a typing error that would otherwise be silently ignored.

use super::table::{ALL, FOREIGN, LITMUS, Tunable};

/// Similarity from which two names are taken for the same (1.0 is equal). `PATH` and `PATHS` stay below it.
const SIMILAR: f64 = 0.85;

/// A warning for each name that resembles a setting or belongs to a relative of this fault.
pub(crate) fn warnings<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    names.into_iter().filter(|name| !is_known(name)).filter_map(warning).collect()
}

fn warning(name: &str) -> Option<String> {
    if let Some((_, advice)) = FOREIGN.iter().find(|(foreign, _)| *foreign == name) {
        return Some(format!("{name} is set and has no meaning here: {advice}"));
    }
    let meant = ALL.iter().find(|tunable| resembles(name, tunable))?;
    Some(format!("{name} is set and ignored; did you mean {}?", meant.variable))
}

fn is_known(name: &str) -> bool {
    LITMUS.contains(&name)
        || ALL.iter().any(|tunable| tunable.variable == name || tunable.aliases.contains(&name))
}

fn resembles(name: &str, tunable: &Tunable) -> bool {
    let squeeze = |text: &str| text.to_ascii_uppercase().replace(['_', '-'], "");
    let likeness = strsim::normalized_damerau_levenshtein(&squeeze(name), &squeeze(tunable.variable));
    likeness >= SIMILAR || lacks_one_word(name, tunable.variable)
}

/// `TARGET_PORT` is `TARGET_SERVICE_PORT` without a word. One word alone (`NAME`) says too little.
fn lacks_one_word(name: &str, full: &str) -> bool {
    let (words, all): (Vec<_>, Vec<_>) = (name.split('_').collect(), full.split('_').collect());
    if words.len() < 2 || words.len() + 1 != all.len() {
        return false;
    }
    (0..all.len()).any(|skip| {
        let rest = all.iter().enumerate().filter(|(index, _)| *index != skip).map(|(_, word)| word);
        rest.eq(words.iter())
    })
}

#[cfg(test)]
mod tests {
    use super::warnings;

    #[test]
    fn typing_errors_are_named_with_what_was_meant() {
        for (typed, meant) in [
            ("STATUSCODE", "STATUS_CODE"),
            ("TARGET_PORT", "TARGET_SERVICE_PORT"),
            ("STATUS_CODES", "STATUS_CODE"),
            ("CHAOS_DURATION", "TOTAL_CHAOS_DURATION"),
            ("TASK_REPLICA_IDS", "TASK_REPLICA_ID"),
            ("HEADER", "HEADERS"),
        ] {
            let found = warnings([typed]);
            assert_eq!(found.len(), 1, "{typed}: {found:?}");
            assert!(found[0].ends_with(&format!("did you mean {meant}?")), "{found:?}");
        }
    }

    #[test]
    fn ordinary_variables_are_left_alone() {
        let usual = [
            "PATH",
            "HOME",
            "HOSTNAME",
            "USER",
            "PWD",
            "SHLVL",
            "LANG",
            "TERM",
            "KUBERNETES_SERVICE_PORT",
            "KUBERNETES_SERVICE_HOST",
            "KUBERNETES_PORT",
            "AWS_ROLE_ARN",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_ENDPOINT_URL",
            "AWS_REGION",
            "NAME",
            "INSTALL_DEPENDENCY",
            "AWS_CONFIG_FILE",
            "POD_NAME",
            "NODE_NAME",
        ];
        assert_eq!(warnings(usual), Vec::<String>::new());
    }
}
