//! Which cluster a command means: the same flags, and the same defaults as kubectl's, for all of them.

use std::fmt::Write as _;

use crate::kube::client::{ClientError, ClientOptions, client};
use crate::kube::desk::Desk;

/// Where on a cluster.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Cluster {
    /// Namespace of the benchmark; without it, the context's, else default
    #[arg(short, long, value_name = "NS", help_heading = "Cluster")]
    pub(super) namespace: Option<String>,
    #[command(flatten)]
    access: ClientOptions,
}

/// Why no cluster can be asked.
#[derive(Debug, thiserror::Error)]
#[error(
    "no cluster can be asked: {0}; name a kubeconfig with --kubeconfig FILE or KUBECONFIG, and one of its contexts with --context NAME"
)]
pub(super) struct NoCluster(#[from] ClientError);

impl Cluster {
    /// A desk in the namespace that `asked` names, else these flags, else the context.
    ///
    /// # Errors
    /// [`NoCluster`], before anything was asked.
    pub(super) async fn desk(&self, asked: Option<&str>) -> Result<Desk, NoCluster> {
        let client = client(&self.access, None).await?;
        let namespace = asked.or(self.namespace.as_deref()).unwrap_or(client.default_namespace()).to_owned();
        Ok(Desk::new(client, namespace))
    }

    /// `mixbench COMMAND NAME` as a person types it to mean the same benchmark from anywhere.
    pub(super) fn command(&self, command: &str, name: &str, namespace: &str) -> String {
        let mut text = format!("mixbench {command} {name} -n {namespace}");
        if let Some(context) = &self.access.context {
            write!(text, " --context {}", quoted(context)).expect("a string");
        }
        if let Some(file) = &self.access.kubeconfig {
            write!(text, " --kubeconfig {}", quoted(&file.display().to_string())).expect("a string");
        }
        text
    }
}

/// Runs a command that talks to a cluster.
///
/// # Errors
/// The system refuses what a runtime needs, or the command itself fails.
pub(super) fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_to_go_on_says_all_that_was_said() {
        let kubeconfig = Some("my clusters/a'b".into());
        let access = ClientOptions { kubeconfig, context: Some("kind-ci".into()), ..ClientOptions::default() };
        assert_eq!(
            Cluster { namespace: None, access }.command("wait", "quickstart", "ml"),
            r"mixbench wait quickstart -n ml --context kind-ci --kubeconfig 'my clusters/a'\''b'"
        );
    }
}
