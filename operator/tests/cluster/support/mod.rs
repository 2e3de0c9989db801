//! What the tests share: a stage is a namespace with an operator, a proxy before its API server, and a kubelet that the test plays.

pub(crate) mod bench;
pub(crate) mod control;
pub(crate) mod kubelet;
pub(crate) mod operator;
pub(crate) mod proxy;
pub(crate) mod said;
pub(crate) mod stage;
pub(crate) mod trained;
