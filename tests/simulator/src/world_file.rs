//! A world in a file, TOML or JSON, with the names of the fields of [`World`].

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::world::World;

/// A world file that can't be used.
#[derive(Debug, Error)]
#[error("reading the world file {}", path.display())]
pub struct WorldFileError {
    path: PathBuf,
    source: Problem,
}

#[derive(Debug, Error)]
enum Problem {
    #[error("opening it; give the path of a .toml or .json file")]
    Open(#[source] io::Error),
    #[error("it is not a world in TOML")]
    Toml(#[source] toml::de::Error),
    #[error("it is not a world in JSON")]
    Json(#[source] serde_json::Error),
}

/// Reads a world; JSON if the name ends in `.json`, else TOML.
pub fn read_world(path: &Path) -> Result<World, WorldFileError> {
    let problem = |source| WorldFileError { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(|source| problem(Problem::Open(source)))?;
    match path.extension().is_some_and(|extension| extension == "json") {
        true => serde_json::from_str(&text).map_err(|source| problem(Problem::Json(source))),
        false => toml::from_str(&text).map_err(|source| problem(Problem::Toml(source))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arch, ContainerInstance};

    #[test]
    fn the_example_in_the_readme_is_a_world() {
        let readme = include_str!("../README.md");
        let example = readme.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let world: World = toml::from_str(example).unwrap();
        assert_eq!(world.clusters[0].tasks[0].containers[0].ports[0].container, 80);
        assert_eq!(world.managed_instances[0].id, world.clusters[0].container_instances[0].ec2_instance_id);
    }

    #[test]
    fn a_world_survives_both_formats() {
        let world = World::fleet(2, 2);
        let again: World = toml::from_str(&toml::to_string(&world).unwrap()).unwrap();
        assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&world).unwrap());
    }

    #[test]
    fn an_unknown_field_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("world.json");
        std::fs::write(&path, r#"{"clusterz": []}"#).unwrap();
        let error = anyhow::Error::from(read_world(&path).unwrap_err());
        assert!(format!("{error:#}").contains("clusterz"), "{error:#}");
    }

    #[test]
    fn architectures_are_ecs_words() {
        let instance = ContainerInstance::new("i-00000000000000001").arch(Arch::Arm64);
        assert_eq!(instance.attributes["ecs.cpu-architecture"], "arm64");
    }
}
