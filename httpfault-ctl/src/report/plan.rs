//! The report of `plan`.

use serde::Serialize;

use super::{Experiment, Report, table};
use crate::{
    aws::scripts,
    plan::{ApiCalls, DeliveryPlan, Plan, PlannedTask},
};

/// What `run` would do.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PlanReport {
    #[serde(flatten)]
    pub(crate) experiment: Experiment,
    pub(crate) tasks: Vec<PlannedTask>,
    pub(crate) windows: Vec<WindowReport>,
    pub(crate) api_calls: ApiCalls,
    /// How hosts that lack the agent come by it.
    pub(crate) delivery: DeliveryPlan,
    /// RAMP_TIME before and after, and every window; Systems Manager's own time comes on top.
    pub(crate) wall_secs: u64,
    /// What is asked of the steady state, in words.
    pub(crate) probes: Vec<String>,
    pub(crate) warnings: Vec<String>,
    /// Why `run` needs HTTPFAULT_YES, or a person at a terminal who says yes.
    pub(crate) danger: Option<String>,
    #[serde(skip)]
    summary: String,
}

/// One window of time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct WindowReport {
    pub(crate) duration_secs: u64,
    pub(crate) commands: Vec<CommandReport>,
}

/// What one host is told to run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CommandReport {
    pub(crate) instance: String,
    pub(crate) command: String,
}

impl PlanReport {
    pub(crate) fn new(plan: &Plan) -> anyhow::Result<Self> {
        let mut windows = Vec::new();
        for window in &plan.windows {
            let mut commands = Vec::new();
            for run in &window.runs {
                let sha256 = plan.agents.get(&run.architecture).map_or("", |agent| &agent.sha256);
                let command = scripts::command_line(sha256, run)?;
                commands.push(CommandReport { instance: run.instance.to_string(), command });
            }
            windows.push(WindowReport { duration_secs: plan.duration_secs, commands });
        }
        Ok(Self {
            experiment: Experiment::of(plan),
            tasks: plan.tasks.clone(),
            windows,
            api_calls: plan.calls,
            delivery: plan.delivery.clone(),
            wall_secs: plan.wall_secs,
            probes: plan.probes.clone(),
            warnings: plan.warnings.clone(),
            danger: plan.danger.clone(),
            summary: Self::summary(plan),
        })
    }
}

impl PlanReport {
    /// The plan in a few lines, without the commands.
    pub(crate) fn summary(plan: &Plan) -> String {
        let mut rows = table(&["task", "container", "runtime id", "instance", "architecture"]);
        for task in &plan.tasks {
            rows.add_row([
                task.task.clone(),
                task.container.clone().unwrap_or_else(|| "found by the agent".to_owned()),
                task.runtime_id.as_ref().map_or_else(|| "-".to_owned(), |id| id.chars().take(12).collect()),
                task.instance.to_string(),
                task.architecture.to_string(),
            ]);
        }
        let lines: String = { plan.guards.iter() }
            .map(|guard| format!("guard {} {} (from {})\n", guard.guard, guard.limit, guard.from))
            .chain(plan.probes.iter().map(|probe| format!("{probe}\n")))
            .collect();
        format!(
            "experiment {}, seed {}: {} of {} running task(s) of {} get status {} on port {} for {} s, {} s in all\n{rows}\n{lines}",
            plan.experiment,
            plan.seed,
            plan.tasks.len(),
            plan.population,
            plan.service.as_deref().unwrap_or(&plan.cluster),
            plan.status,
            plan.port,
            plan.duration_secs,
            plan.wall_secs,
        )
    }
}

impl Report for PlanReport {
    fn text(&self) -> String {
        let mut text = self.summary.clone();
        for (number, window) in self.windows.iter().enumerate() {
            text.push_str(&format!(
                "\nwindow {} of {}, {} s:\n",
                number + 1,
                self.windows.len(),
                window.duration_secs
            ));
            for command in &window.commands {
                text.push_str(&format!("  {}  {}\n", command.instance, command.command));
            }
        }
        let calls = &self.api_calls;
        text.push_str(&format!(
            "\n{} s in all; Systems Manager's own time comes on top\nAWS calls: {} made, about {} for the run, at most {} \
             more to bring the agent\n",
            self.wall_secs, calls.resolve, calls.run, calls.delivery_at_most
        ));
        text.push_str(&format!(
            "the agent, where a host lacks it: {}, about {} s\n",
            self.delivery.how, self.delivery.seconds
        ));
        for warning in self.warnings.iter().chain(&self.danger) {
            text.push_str(&format!("warning: {warning}\n"));
        }
        text
    }
}
