//! Bad manifests, each with its message.
