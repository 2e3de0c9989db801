//! Nothing but tests: `e2e` starts both programs as a person would, `node` has the operator start them in pods; both link only the contract.
