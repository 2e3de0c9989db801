# A Kubernetes of one node to try things on: see tests/cluster/README.md. MIXBENCH_CLUSTER names another folder for it.
cluster := $(or $(MIXBENCH_CLUSTER),$(or $(MIXBENCH_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mixbench)/cluster)

.PHONY: cluster-binaries cluster-up cluster-down cluster-shell

cluster-binaries: ## Build the programs of the test cluster (once, minutes)
	@$(go) tests/cluster/binaries.sh node kwok kubeconform

cluster-up: ## Start a Kubernetes of one node (root), with the images named in IMAGES
	@$(go) tests/cluster/node-up.sh $(cluster) $(IMAGES)

cluster-down: ## End it and remove what it left
	@tests/cluster/node-down.sh $(cluster)
	@tests/cluster/check-clean.sh $(cluster)

cluster-shell: ## Open a shell in which kubectl and helm reach it
	@tests/cluster/node-exec.sh $(cluster) $${SHELL:-sh}
