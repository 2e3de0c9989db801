//! Nothing but tests: `e2e` starts both programs as a person would, and links only the contract.
