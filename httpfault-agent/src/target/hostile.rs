//! Fuzz targets of what others say about containers: nothing panics, and what a container writes names no other task.

use std::{fs, path::Path};

use serde::de::DeserializeOwned;

use super::{docker, ecs, metadata};
use edits::{Edits, edited};

#[path = "../../../httpfault-common/tests/hostile/edits.rs"]
mod edits;

const TASK: &str = "arn:aws:ecs:eu-west-1:123456789012:task/shop/0123456789abcdef";
const METADATA: &str = r#"{"Cluster":"shop","TaskARN":"arn:aws:ecs:eu-west-1:123456789012:task/shop/0123456789abcdef",
    "ContainerID":"3f4e9a","ContainerName":"web","MetadataFileStatus":"READY"}"#;
const TASKS: &str = r#"{"Tasks":[{"Arn":"arn:aws:ecs:eu-west-1:123456789012:task/shop/0123456789abcdef",
    "Containers":[{"DockerId":"3f4e9a","Name":"web"}]}]}"#;
const INSPECTED: &str = r#"{"Id":"3f4e9a","Name":"/web","State":{"Running":true,"Pid":7},
    "Config":{"Labels":{"com.amazonaws.ecs.task-arn":"arn","com.amazonaws.ecs.container-name":"web"}}}"#;
const LISTED: &str = r#"[{"Id":"3f4e9a","Labels":{"com.amazonaws.ecs.task-arn":"arn"}}]"#;

fn reads<T: DeserializeOwned>(bytes: &[u8]) -> bool {
    serde_json::from_slice::<T>(bytes).is_ok()
}

#[test]
fn documents_of_the_ecs_agent_and_the_engine() {
    assert!(reads::<ecs::Tasks>(TASKS.as_bytes()) && reads::<docker::Inspected>(INSPECTED.as_bytes()));
    assert!(reads::<Vec<docker::Listed>>(LISTED.as_bytes()));
    bolero::check!().with_type::<Edits>().for_each(|edits| {
        reads::<ecs::Tasks>(&edited(TASKS, edits));
        reads::<docker::Inspected>(&edited(INSPECTED, edits));
        reads::<Vec<docker::Listed>>(&edited(LISTED, edits));
    });
}

/// The directory of one container's file, below that of its task.
fn write(root: &Path, task: &str, bytes: &[u8]) {
    let directory = root.join("metadata/shop").join(task).join("web");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("ecs-container-metadata.json"), bytes).unwrap();
}

#[test]
fn metadata_files_name_no_other_task() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "0123456789abcdef", METADATA.as_bytes());
    assert_eq!(metadata::containers(TASK, root.path()).unwrap().len(), 1);
    bolero::check!().with_type::<(bool, Edits)>().for_each(|(own, edits)| {
        let task = if *own { "0123456789abcdef" } else { "fedcba9876543210" };
        let root = tempfile::tempdir().unwrap();
        write(root.path(), task, &edited(METADATA, edits));
        let found = metadata::containers(TASK, root.path()).unwrap_or_default();
        assert!(*own || found.is_empty(), "a container of another task is taken for one of this: {found:?}");
    });
}
