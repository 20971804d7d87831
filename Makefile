# The commands of the project. `make check` never writes; `make fix` does. CI runs the same commands as people.

CARGO ?= cargo
TOOLS := .tools
BUF := $(TOOLS)/node_modules/.bin/buf
BUF_VERSION := 1.75.0
PROTOC_TOOL := $(TOOLS)/bin/protoc
GRPCIO := grpcio==1.85.3 grpcio-reflection==1.85.1 grpcio-health-checking==1.85.1 googleapis-common-protos==1.76.0
ES := @bufbuild/protoc-gen-es@2.17.0 @bufbuild/protobuf@2.17.0
# The example in Go is compiled against Debian's sources of gRPC, which need no proxy of modules.
GOCODE := golang-google-grpc-dev golang-google-genproto-dev golang-google-protobuf-dev golang-github-golang-protobuf-1-5-dev \
  golang-golang-x-net-dev golang-golang-x-sys-dev golang-golang-x-text-dev
MONITORING := prometheus-client==0.25.0 PyYAML==6.0.4
KUBERNETES := kubernetes-validate==1.37.0 PyYAML==6.0.4
COMPOSE := docker-compose==1.29.2
CARGO_DEB := 3.8.0
# What builds, checks and tests the Python package: clients/python/requirements-dev.txt in a folder, pyright from npm in another.
PYTHON_TOOLS := $(abspath $(TOOLS)/python-package)
PYRIGHT := pyright@1.1.414
# Where `make install` puts things, below DESTDIR.
PREFIX ?= /usr/local
DESTDIR ?=
CORPUS ?=
SEEDS ?= 1:10000
# Every file of the testkit's tests but the folder of `test-cluster` and the files of `test-clients` and `test-monitoring`.
PROCESSES = $(filter-out clients grpcurl monitoring,$(basename $(notdir $(wildcard crates/testkit/tests/*.rs))))

.PHONY: help tools etcd namespaces grpcio generators languages java-client clients monitoring golden build release check fix test test-units test-processes test-cluster test-clients test-monitoring test-python wheel wheel-fast demo bench bench-failover fuzz fuzz-wire buf deny kubernetes image install packaging package test-deploy

help: ## Say what there is.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

tools: $(PROTOC_TOOL) ## What a plain `cargo build` needs beside cargo (once): the compiler of etcd's protos.

etcd: ## An etcd server for the tests: the one of MUSTER_ETCD or PATH, else Debian's, unpacked into .tools.
	@deploy/etcd-install

namespaces: ## What cuts the tests' network: iproute2 and nftables, from Debian where they are missing and we are root.
	@{ command -v ip && command -v nft && command -v nsenter; } >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq iproute2 nftables util-linux >/dev/null; } \
	  || { echo "error: the tests of partitions need iproute2, nftables and util-linux: install them" >&2; exit 1; }

grpcio: $(TOOLS)/grpcio/.installed ## A gRPC client of another family for the tests: Python's, from PyPI, unpacked into .tools.

generators: grpcio $(TOOLS)/es/.installed ## What generates code of the protos and compiles it: Debian's protoc, Go's plug-in and Java, npm's of TypeScript.
	@{ command -v protoc && command -v protoc-gen-go && command -v javac && test -e /usr/share/java/protobuf.jar; } >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq \
	    && apt-get install -y -qq --no-install-recommends protobuf-compiler protoc-gen-go-1-5 libprotobuf-java $$(command -v javac >/dev/null || echo default-jdk-headless) >/dev/null; } \
	  || { echo "error: the test of languages needs protobuf-compiler, protoc-gen-go, libprotobuf-java and a JDK: install them" >&2; exit 1; }

test-deploy: $(PROTOC_TOOL) kubernetes packaging etcd ## Deployments: units are checked; manifests are rendered, checked, and run in namespaces of this machine, where all pods are replaced under load (as root).
	$(CARGO) build --locked --workspace --bins --examples
	python3 tests/deploy/units.py target/debug
	deploy/package target/debug target/debug/muster.deb --fast
	lintian --fail-on error,warning target/debug/muster.deb
	python3 tests/deploy/package.py target/debug/muster.deb
	PYTHONPATH=$(TOOLS)/kubernetes python3 tests/deploy/compose.py $(TOOLS)/kubernetes/docker_compose-*.whl target/debug
	PYTHONPATH=$(TOOLS)/kubernetes python3 tests/deploy/rendered.py
	PYTHONPATH=$(TOOLS)/kubernetes python3 tests/deploy/rollout.py single target/debug
	PYTHONPATH=$(TOOLS)/kubernetes python3 tests/deploy/rollout.py ha target/debug

languages: generators ## Generate code of the protos for Go, Java, Python, C#, Objective-C and TypeScript; compile what can be.
	tests/languages

java-client: # What the example in Java needs, from Debian.
	@{ command -v javac && command -v protoc && command -v grpc_java_plugin && ls $(addprefix /usr/share/java/,grpc-netty.jar netty-handler.jar netty-tcnative.jar \
	    netty-codec-http2.jar protobuf.jar guava.jar gson.jar perfmark-api.jar jsr305.jar geronimo-annotation-1.3-spec.jar); } >/dev/null 2>&1 \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq \
	    && apt-get install -y -qq --no-install-recommends protobuf-compiler protobuf-compiler-grpc-java-plugin libgrpc-java libnetty-java libnetty-tcnative-java \
	      libprotobuf-java libguava-java libgoogle-gson-java libperfmark-java libjsr305-java libgeronimo-annotation-1.3-spec-java \
	      $$(command -v javac >/dev/null || echo default-jdk-headless) >/dev/null; } \
	  || { echo "error: the example in Java needs a JDK, protobuf-compiler-grpc-java-plugin, libgrpc-java, libnetty-java and more: see clients/java/classpath" >&2; exit 1; }

clients: java-client $(TOOLS)/python/.installed clients/node/node_modules/.package-lock.json $(TOOLS)/gocode/.installed ## Generate the stubs of the examples in clients/ and compile what is compiled.
	PYTHONPATH=$(abspath $(TOOLS)/python) clients/python-grpc/build
	GO111MODULE=off GOPATH=$(abspath $(TOOLS)/gocode/usr/share/gocode) clients/go/build
	clients/java/build

kubernetes: $(TOOLS)/kubernetes/.installed ## What renders and checks manifests: a kubectl that knows components, the schemas of Kubernetes; busybox and buildah from Debian.
	@deploy/kubectl-install >/dev/null
	@{ command -v busybox && command -v ip && command -v unshare && command -v buildah && command -v systemd-analyze; } >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq \
	    && apt-get install -y -qq --no-install-recommends busybox-static iproute2 util-linux buildah systemd >/dev/null; } \
	  || { echo "error: the tests of deployments need busybox-static, iproute2, util-linux, buildah and systemd: install them" >&2; exit 1; }

monitoring: $(TOOLS)/monitoring/.installed ## Prometheus' own tools: promtool from Debian's package, unpacked into .tools, and its Python library.

build: $(PROTOC_TOOL) ## Build everything for development.
	$(CARGO) build --workspace --bins

release: $(PROTOC_TOOL) ## Build what is shipped, into target/release: four binaries, the protos' descriptors and a gRPC service config.
	$(CARGO) build --release -p muster-master -p muster-runner
	$(CARGO) build --profile small -p muster-worker -p muster-cli
	cp --remove-destination target/small/muster target/small/muster-worker target/release/
	$(PROTOC_TOOL) -I proto --include_imports --include_source_info -o target/release/muster.binpb proto/muster/v1/*.proto
	cp clients/service-config.json target/release/muster-service-config.json

check: $(BUF) $(PROTOC_TOOL) ## Formatting, lints, protos and what they break, layering, names. Writes nothing.
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	cd proto && ../$(BUF) lint && ../$(BUF) breaking --against golden/protos.binpb
	$(CARGO) test --locked -q -p muster-testkit --test layering --test names
	$(CARGO) test --locked -q -p muster-proto --test languages --test service_config

fix: $(BUF) $(PROTOC_TOOL) ## Format, and apply the lints that can be applied.
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	$(CARGO) fmt --all
	cd proto && ../$(BUF) format -w

golden: $(BUF) ## At a release: the protos as they are become what later ones must not break.
	cd proto && ../$(BUF) build --exclude-source-info -o golden/protos.binpb

test: test-units test-processes test-cluster test-clients test-monitoring test-deploy languages ## Every test.

test-units: $(PROTOC_TOOL) etcd ## Unit, scenario and integration tests: no process is started but the runner's own.
	$(CARGO) build --locked --workspace --bins --examples
	$(CARGO) test --locked --workspace --exclude muster-testkit

test-processes: $(PROTOC_TOOL) etcd ## The simulated world; real processes under one master.
	$(CARGO) build --locked --workspace --bins --examples
	$(CARGO) test --locked -p muster-testkit --lib --bins $(foreach test,$(PROCESSES),--test $(test)) -- --test-threads=4
	MUSTER_TEST_TLS=1 $(CARGO) test --locked -p muster-testkit --test operations --test applications -- --test-threads=4

test-cluster: $(PROTOC_TOOL) etcd namespaces grpcio ## End-to-end: several masters over a real etcd, killed, paused and cut off (as root, for network namespaces).
	$(CARGO) build --locked --workspace --bins --examples
	$(CARGO) test --locked -p muster-testkit --test cluster -- --test-threads=2

test-clients: $(PROTOC_TOOL) $(BUF) etcd clients ## The examples of clients/, through the ends of several leaders; the commands of docs/grpcurl.md.
	$(CARGO) build --locked --workspace --bins
	$(CARGO) test --locked -p muster-testkit --test clients --test grpcurl -- --test-threads=2

test-python: $(PROTOC_TOOL) $(TOOLS)/python-package/.installed $(TOOLS)/pyright/node_modules/.bin/pyright ## The Python package: its types, and its tests with the programs of its wheel.
	$(MAKE) wheel-fast
	rm -rf $(TOOLS)/python-wheel
	python3 -m pip install --quiet --root-user-action=ignore --no-deps --target $(TOOLS)/python-wheel target/wheels/fast/muster-*.whl
	cd clients/python && PYTHONPATH=$(PYTHON_TOOLS) python3 -m mypy
	cd clients/python && PYTHONPATH=$(PYTHON_TOOLS) ../../$(TOOLS)/pyright/node_modules/.bin/pyright --pythonpath "$$(command -v python3)"
	cd clients/python && PATH="$(abspath $(TOOLS)/python-wheel/bin):$$PATH" PYTHONPATH=$(abspath $(TOOLS)/python-wheel):$(PYTHON_TOOLS) \
	  python3 -m pytest --quiet

wheel: release $(TOOLS)/python-package/.installed ## The Python package with the programs, as one wheel for Python 3.9 or newer, into target/wheels.
	PATH="$(PYTHON_TOOLS)/bin:$$PATH" deploy/wheel target/release target/wheels release

wheel-fast: $(PROTOC_TOOL) $(TOOLS)/python-package/.installed # The same of what is built for tests.
	$(CARGO) build --locked --workspace --bins --examples
	rm -rf target/wheels/fast
	PATH="$(PYTHON_TOOLS)/bin:$$PATH" deploy/wheel target/debug target/wheels/fast dev

test-monitoring: $(PROTOC_TOOL) monitoring ## What Prometheus sees: pages of metrics, the queries of deploy/monitoring, and its alerts, by its own tools.
	$(CARGO) build --locked --workspace --bins
	$(CARGO) test --locked -p muster-testkit --test monitoring

# One call of cargo, with a profile that is quick to build: only the counting itself is optimised.
demo: $(PROTOC_TOOL) ## Bring up a cluster, count the words of a corpus on it (CORPUS=dir), and leave it for you.
	$(CARGO) build --locked --profile demo --no-default-features -p muster-master -p muster-worker -p muster-runner -p muster-cli -p muster-sdk --features muster-sdk/tasks --bins --example word_count
	CORPUS="$(CORPUS)" deploy/demo

fuzz: $(PROTOC_TOOL) ## Seeds of the simulated world beyond those of the tests: make fuzz SEEDS=first:count. A failure prints its replay.
	$(CARGO) build --locked -p muster-testkit --bin muster-fuzz
	target/debug/muster-fuzz $(SEEDS)

fuzz-wire: $(PROTOC_TOOL) ## A million hostile messages to every method of a master and a worker: make fuzz-wire MESSAGES=count.
	$(CARGO) build --locked --workspace --bins
	target/debug/muster-fuzz-wire $(or $(MESSAGES),1000000)

image: release ## The container image, from scratch with buildah, into target/muster-image.tar; the programs stay below 30 MiB.
	deploy/container/image target/release

install: release ## Install programs, units, completions and manual pages into DESTDIR/PREFIX (by default /usr/local), and /etc/muster.
	deploy/install target/release "$(DESTDIR)" "$(PREFIX)"

packaging: $(TOOLS)/bin/cargo-deb ## What makes and checks a Debian package: cargo-deb, and help2man, lintian and adduser from Debian.
	@{ command -v help2man && command -v lintian && command -v adduser; } >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq --no-install-recommends help2man lintian adduser >/dev/null; } \
	  || { echo "error: a Debian package needs help2man, lintian and adduser: install them" >&2; exit 1; }

package: release packaging ## The Debian package, into target/muster.deb, checked by lintian.
	deploy/package target/release target/muster.deb
	lintian --fail-on error,warning target/muster.deb

bench: release ## Measure on this machine; OUTPUT=json for JSON.
	$(CARGO) build --release -p muster-testkit --bin muster-bench
	$(CARGO) build --release -p muster-dag --example decisions
	$(CARGO) build --release -p muster-sdk --example task_rates --example task_memory
	target/release/muster-bench $(if $(filter json,$(OUTPUT)),-o json)

bench-failover: release etcd ## Measure failovers, and submissions and drivers through etcd; OUTPUT=json for JSON, FAULTS=30 of each kind.
	$(CARGO) build --release -p muster-testkit --bin muster-bench
	target/release/muster-bench etcd failover --faults $(or $(FAULTS),30) $(if $(filter json,$(OUTPUT)),-o json)

deny: ## Licences and sources of the dependencies (installs cargo-deny into .tools).
	test -x $(TOOLS)/bin/cargo-deny || $(CARGO) install --root $(TOOLS) --locked cargo-deny
	$(TOOLS)/bin/cargo-deny --all-features check licenses bans sources

# Nothing that is shipped depends on it.
$(TOOLS)/bin/cargo-deb:
	$(CARGO) install --quiet --debug --root $(TOOLS) --locked cargo-deb@$(CARGO_DEB)

# The compiler of etcd's protos, at the path that .cargo/config.toml names: the machine's, Debian's, or last one that is built here.
$(PROTOC_TOOL):
	@CARGO="$(CARGO)" deploy/protoc-install >/dev/null

# The same for the schemas of Kubernetes.
$(TOOLS)/kubernetes/.installed:
	@python3 -m pip --version >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-pip >/dev/null; } \
	  || { echo "error: the tests of deployments need Python 3 with pip: install python3-pip" >&2; exit 1; }
	python3 -m pip install --quiet --root-user-action=ignore --target $(TOOLS)/kubernetes $(KUBERNETES)
	python3 -m pip download --quiet --no-deps --dest $(TOOLS)/kubernetes $(COMPOSE)
	touch $@

# Nothing of it is installed on the machine: the package would start a server.
$(TOOLS)/monitoring/.installed:
	@python3 -m pip --version >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-pip >/dev/null; } \
	  || { echo "error: the tests of monitoring need Python 3 with pip: install python3-pip" >&2; exit 1; }
	rm -rf $(@D) && mkdir -p $(@D)/deb
	cd $(@D)/deb && { apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; } }
	dpkg -x $(@D)/deb/prometheus_*.deb $(@D)/deb && mv $(@D)/deb/usr/bin/promtool $(@D)/promtool && rm -r $(@D)/deb
	python3 -m pip install --quiet --root-user-action=ignore --target $(@D)/python $(MONITORING)
	touch $@

# Python packages in a folder of their own: nothing is installed on the machine.
$(TOOLS)/grpcio/.installed:
	@python3 -m pip --version >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-pip >/dev/null; } \
	  || { echo "error: the tests of other clients need Python 3 with pip: install python3-pip" >&2; exit 1; }
	python3 -m pip install --quiet --root-user-action=ignore --target $(TOOLS)/grpcio $(GRPCIO)
	touch $@

# What the example in Python needs, generator included, as its own manifest says.
$(TOOLS)/python/.installed: clients/python-grpc/requirements.txt
	@python3 -m pip --version >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-pip >/dev/null; } \
	  || { echo "error: the example in Python needs Python 3 with pip: install python3-pip" >&2; exit 1; }
	rm -rf $(@D)
	python3 -m pip install --quiet --root-user-action=ignore --target $(@D) -r $<
	touch $@

# What builds, checks and tests the Python package.
$(TOOLS)/python-package/.installed: clients/python/requirements-dev.txt
	@python3 -m pip --version >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-pip >/dev/null; } \
	  || { echo "error: the Python package is built and tested with Python 3 and pip: install python3-pip" >&2; exit 1; }
	rm -rf $(@D)
	python3 -m pip install --quiet --root-user-action=ignore --target $(@D) -r $<
	touch $@

$(TOOLS)/pyright/node_modules/.bin/pyright:
	@command -v npm >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq npm >/dev/null; } \
	  || { echo "error: pyright is installed with npm, which is missing: install npm" >&2; exit 1; }
	npm install --silent --no-audit --no-fund --prefix $(TOOLS)/pyright $(PYRIGHT)

# What the example in Node needs, as its own lock says.
clients/node/node_modules/.package-lock.json: clients/node/package-lock.json
	@command -v npm >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq npm >/dev/null; } \
	  || { echo "error: the example in Node is installed with npm, which is missing: install npm" >&2; exit 1; }
	npm ci --silent --no-audit --no-fund --prefix clients/node
	touch $@

# What the example in Go needs. The sources of Debian's packages are unpacked, as two of them cannot be installed beside each
# other; the example itself is found among them by a link.
$(TOOLS)/gocode/.installed:
	@{ command -v go && command -v protoc && command -v protoc-gen-go && command -v protoc-gen-go-grpc; } >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq \
	    && apt-get install -y -qq --no-install-recommends golang-go protobuf-compiler protoc-gen-go-1-5 protoc-gen-go-grpc >/dev/null; } \
	  || { echo "error: the example in Go needs golang, protobuf-compiler, protoc-gen-go-1-5 and protoc-gen-go-grpc: install them" >&2; exit 1; }
	rm -rf $(@D) && mkdir -p $(@D)/debs
	cd $(@D)/debs && { apt-get download -qq $(GOCODE) 2>/dev/null || { apt-get update -qq && apt-get download -qq $(GOCODE); } }
	for package in $(@D)/debs/*.deb; do dpkg -x "$$package" $(@D) || exit 1; done
	rm -r $(@D)/debs
	ln -s $(abspath clients/go) $(@D)/usr/share/gocode/src/muster
	touch $@

# The generator of TypeScript and its compiler, in a folder of their own.
$(TOOLS)/es/.installed:
	@command -v npm >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq npm >/dev/null; } \
	  || { echo "error: the generator of TypeScript is installed with npm, which is missing: install npm" >&2; exit 1; }
	npm install --silent --no-audit --no-fund --prefix $(TOOLS)/es $(ES)
	touch $@

# The protos' linter, from the npm registry; npm itself from Debian where it is missing.
$(BUF):
	@command -v npm >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq npm >/dev/null; } \
	  || { echo "error: buf is installed with npm, which is missing: install npm" >&2; exit 1; }
	npm install --silent --no-audit --no-fund --prefix $(TOOLS) @bufbuild/buf@$(BUF_VERSION)
