//! A second opinion on how requests to ECS and STS are written and signed: moto answers them. Its SSM lacks
//! DescribeInstanceInformation, so the way ends there.

use httpfault_simulator::moto::Moto;

use crate::support::{bare, finish};

#[test]
fn moto_understands_what_is_asked_of_ecs_and_sts() {
    let moto = Moto::start().unwrap();
    moto.create_cluster("shop", 2, 3).unwrap();
    let plan = || {
        let mut ctl = bare("plan");
        ctl.envs(moto.env()).args(["--all-tasks"]).env("CLUSTER_NAME", "shop");
        ctl.env("ASSUME_ROLE_ARN", "arn:aws:iam::123456789012:role/chaos");
        ctl
    };
    // Signed in by AssumeRole, cluster, tasks and instances read: the next one to ask is Systems Manager.
    finish(&mut plan()).exits(1).says("ssm:DescribeInstanceInformation got no usable answer");
    finish(plan().env("CLUSTER_NAME", "none")).exits(1).says("cluster none does not exist");
}
