//! Every member follows the workspace: its lints, and versions that stay what they are.

use toml::{Table, Value};

use super::{Problem, Tree};

/// Released together and bound to one another; later ones want a later compiler.
const EXACT: &str = "aya";
const SECTIONS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !tree.has("Cargo.lock") {
        problems.push(Problem::new(
            "Cargo.lock",
            1,
            "missing or ignored: a build uses the versions that were tested",
        ));
    }
    for (path, text) in tree.ending("Cargo.toml") {
        let manifest: Table = match text.parse() {
            Ok(manifest) => manifest,
            Err(error) => {
                problems.push(Problem::new(path, 1, format!("cannot be read: {error}")));
                continue;
            }
        };
        if let Some(workspace) = manifest.get("workspace") {
            problems.extend(members(tree, workspace).map(|what| Problem::new(path, 1, what)));
            problems.extend(dependencies(workspace).map(|what| Problem::new(path, 1, what)));
        }
        if manifest.contains_key("package") {
            if inherited(manifest.get("lints")).is_none() {
                problems.push(Problem::new(path, 1, "no `[lints] workspace = true`: no lint would apply"));
            }
            let targets =
                manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
            let whole = Value::Table(manifest.clone());
            for section in targets.chain([&whole]) {
                problems.extend(dependencies(section).map(|what| Problem::new(path, 1, what)));
            }
        }
    }
    problems
}

/// What is wrong with the list of members.
fn members<'a>(tree: &'a Tree, workspace: &'a Value) -> impl Iterator<Item = String> + 'a {
    let listed = workspace.get("members").and_then(Value::as_array).into_iter().flatten();
    listed.filter_map(Value::as_str).filter_map(|member| {
        let manifest = format!("{member}/Cargo.toml");
        tree.text(&manifest).is_none().then(|| format!("member {member} has no Cargo.toml"))
    })
}

/// What is wrong with the dependencies below this table.
fn dependencies(table: &Value) -> impl Iterator<Item = String> {
    SECTIONS
        .into_iter()
        .filter_map(|section| table.get(section)?.as_table())
        .flat_map(Table::iter)
        .filter_map(|(name, value)| Some(format!("dependency {name}: {}", objection(name, value)?)))
}

/// cargo-deny looks at everything else (deny.toml).
fn objection(name: &str, dependency: &Value) -> Option<&'static str> {
    let version = dependency.as_str().or_else(|| dependency.get("version")?.as_str())?;
    (name.starts_with(EXACT) && !version.starts_with('='))
        .then_some("not exact: a later aya wants a later compiler")
}

/// `workspace = true`.
fn inherited(value: Option<&Value>) -> Option<()> {
    (value?.get("workspace")?.as_bool()?).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(manifest: &str) -> Vec<String> {
        let tree = Tree::of([("Cargo.lock", ""), ("a/Cargo.toml", manifest)]);
        check(&tree).into_iter().map(|problem| problem.what).collect()
    }

    #[test]
    fn a_member_that_follows_the_workspace_is_fine() {
        let manifest = "[package]\nname = \"a\"\n[lints]\nworkspace = true\n[dependencies]\nb.workspace = true\n\
                        c = \"1.2\"\nd = { path = \"../d\" }\naya = \"=0.14.0\"";
        assert_eq!(problems(manifest), Vec::<String>::new());
    }

    #[test]
    fn a_member_without_lints_and_with_a_loose_aya_is_not() {
        let manifest = "[package]\nname = \"a\"\n[dependencies]\nb = \"1\"\n\
                        [target.'cfg(unix)'.dependencies]\naya = \"0.14\"";
        let problems = problems(manifest).join("\n");
        for part in ["[lints]", "dependency aya"] {
            assert!(problems.contains(part), "{part} in {problems}");
        }
    }

    #[test]
    fn the_lock_file_and_the_members_have_to_be_there() {
        let root = "[workspace]\nmembers = [\"gone\"]\n[workspace.dependencies]\naya = \"0.14\"";
        let found = check(&Tree::of([("Cargo.toml", root)]));
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
