//! Why a pod that should run does not.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use super::super::names;
use super::super::trouble::TroubleKind;

/// What the kubelet says of a container that waits, and what that is to us. Whatever else it says passes by itself.
const REASONS: [(&str, TroubleKind); 11] = [
    ("ErrImagePull", TroubleKind::ImagePull),
    ("ImagePullBackOff", TroubleKind::ImagePull),
    ("InvalidImageName", TroubleKind::ImagePull),
    ("ErrImageNeverPull", TroubleKind::ImagePull),
    ("ImageInspectError", TroubleKind::ImagePull),
    ("RegistryUnavailable", TroubleKind::ImagePull),
    ("SignatureValidationFailed", TroubleKind::ImagePull),
    ("CreateContainerConfigError", TroubleKind::ContainerConfig),
    ("CreateContainerError", TroubleKind::ContainerConfig),
    ("RunContainerError", TroubleKind::ContainerConfig),
    ("PreStartHookError", TroubleKind::ContainerConfig),
];

/// Why a pod waits, where that is no matter of seconds.
pub(super) fn waiting(pod: &Pod) -> Option<(TroubleKind, String)> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.as_deref().unwrap_or_default();
    let held = containers.iter().find(|c| c.name == names::CONTAINER).and_then(|c| c.state.as_ref()?.waiting.as_ref());
    if let Some(held) = held {
        let reason = held.reason.as_deref()?;
        let (_, kind) = REASONS.iter().find(|(known, _)| *known == reason)?;
        return Some((*kind, format!("{reason}: {}", held.message.as_deref().unwrap_or_default())));
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let scheduled = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
    let reason = scheduled.reason.as_deref().unwrap_or("Unschedulable");
    Some((TroubleKind::WaitingForCapacity, format!("{reason}: {}", scheduled.message.as_deref().unwrap_or_default())))
}

/// Whether somebody holds the Job back: we never suspend one.
pub(super) fn held(job: &Job) -> bool {
    job.spec.as_ref().is_some_and(|s| s.suspend == Some(true))
}
