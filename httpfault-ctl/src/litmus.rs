//! Litmus: what the pod of an experiment owes to the runner that started it. The runner reads a ChaosResult and nothing
//! else, and takes a pod that ends with another code than 0 for one whose status is unknown.

mod kubernetes;
mod probes;
mod result;

use backon::{ExponentialBuilder, Retryable};
use serde_json::Value;

pub(crate) use kubernetes::KubernetesError;
pub(crate) use probes::LitmusProbe;
pub(crate) use result::Outcome;

use crate::tunables::LitmusRun;
use kubernetes::Kubernetes;

const GROUP: &str = "/apis/litmuschaos.io/v1alpha1";
/// How often a call is tried where the API server does not answer, or somebody else wrote in between.
const TRIES: usize = 4;

/// The result of one experiment, kept in the cluster.
#[derive(Debug)]
pub(crate) struct Litmus {
    run: LitmusRun,
    kubernetes: Kubernetes,
}

impl Litmus {
    /// Writes that the experiment runs.
    pub(crate) async fn begin(run: &LitmusRun) -> Result<Self, KubernetesError> {
        let litmus = Self { run: run.clone(), kubernetes: Kubernetes::of_the_pod(&run.token_dir)? };
        litmus.write(&Outcome::running()).await?;
        Ok(litmus)
    }

    /// What the engine lists for this experiment; what can't be run is an error.
    pub(crate) async fn probes(&self) -> anyhow::Result<Vec<LitmusProbe>> {
        let engine = self.object("chaosengines", &self.run.engine);
        let engine = self.retried(|| self.kubernetes.get(&engine)).await?;
        probes::read(&engine, &self.run.experiment)
    }

    /// Writes how it ended.
    pub(crate) async fn end(&self, outcome: &Outcome) -> Result<(), KubernetesError> {
        self.write(outcome).await
    }

    async fn write(&self, outcome: &Outcome) -> Result<(), KubernetesError> {
        let labels = self.labels().await?;
        self.retried(|| self.write_once(outcome, &labels)).await
    }

    /// Reads the result anew each time: a run before this one, and whoever watches it, may have written.
    async fn write_once(&self, outcome: &Outcome, labels: &Value) -> Result<(), KubernetesError> {
        let path = self.object("chaosresults", &self.run.result_name());
        let mut result = match self.kubernetes.get(&path).await {
            Err(KubernetesError::Refused { code: 404, .. }) => {
                let new = result::new(&self.run, labels, outcome);
                let all = format!("{GROUP}/namespaces/{}/chaosresults", self.run.namespace);
                return self.kubernetes.create(&all, &new).await;
            }
            found => found?,
        };
        result::update(&mut result, &self.run, labels, outcome);
        self.kubernetes.replace(&path, &result).await
    }

    /// The pod's own, by which Litmus finds what belongs together, and the engine's id.
    async fn labels(&self) -> Result<Value, KubernetesError> {
        let mut labels = match &self.run.pod {
            Some(pod) => {
                let path = format!("/api/v1/namespaces/{}/pods/{pod}", self.run.namespace);
                let mut pod = self.retried(|| self.kubernetes.get(&path)).await?;
                pod["metadata"]["labels"].take()
            }
            None => Value::Null,
        };
        labels["chaosUID"] = self.run.uid.clone().into();
        Ok(labels)
    }

    fn object(&self, kind: &str, name: &str) -> String {
        format!("{GROUP}/namespaces/{}/{kind}/{name}", self.run.namespace)
    }

    async fn retried<T, F: Future<Output = Result<T, KubernetesError>>>(
        &self,
        call: impl FnMut() -> F,
    ) -> Result<T, KubernetesError> {
        call.retry(ExponentialBuilder::default().with_jitter().with_max_times(TRIES))
            .when(KubernetesError::may_pass)
            .await
    }
}
