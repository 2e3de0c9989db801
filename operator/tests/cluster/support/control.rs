//! The control plane.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Where a control plane can be reached.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    /// File that leads to it, as its administrator.
    pub(crate) kubeconfig: PathBuf,
}

/// A control plane that is gone when this is dropped, and also when the test is killed: its script waits for the end of a pipe.
pub(crate) struct OwnControl {
    /// Where it is.
    pub(crate) control: Control,
    script: Child,
}

impl Control {
    /// The one that all tests share: that of `make test-cluster`, else one of this process.
    pub(crate) fn shared() -> Self {
        static OWN: OnceLock<OwnControl> = OnceLock::new();
        match std::env::var_os("MIXBENCH_TEST_KUBECONFIG") {
            Some(file) => Self { kubeconfig: file.into() },
            None => OWN.get_or_init(OwnControl::start).control.clone(),
        }
    }

    /// How to reach it. Nothing is tried again by itself, and no request is given up.
    pub(crate) async fn config(&self) -> Config {
        let file = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        config.read_timeout = None;
        config.default_retry = false;
        config
    }

    /// A client that passes by every proxy.
    pub(crate) async fn client(&self) -> Client {
        Client::try_from(self.config().await).unwrap()
    }
}

impl OwnControl {
    /// Starts one, in seconds.
    pub(crate) fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cluster/with-control.sh");
        let mut script = Command::new(script)
            .args(["sh", "-c", r#"echo "$MIXBENCH_TEST_KUBECONFIG"; exec cat"#])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the control plane did not come up");
        Self { control: Control { kubeconfig: line.trim_end().into() }, script }
    }
}

impl Drop for OwnControl {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        self.script.wait().ok();
    }
}
