# Every command of the project. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help demo test test-slice test-all test-selinux unit soak durations lint bench bench-backends bench-fleet bench-idle bench-recovery bench-throughput settings try-host clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

demo: node_modules ## boot two hosts, run the program on them and log in through the tunnel (root, Linux)
	@npx tsx lab/demo.ts

test: node_modules ## the tests, including those on real hosts, with samples of large tables (root, Linux); ends with the count
	@SAMPLE=$(SAMPLE) SLICE=$(SLICE) npx tsx tools/test.ts unit,lab

test-slice: node_modules ## a slice of what `make test` leaves out: the commit's, or SLICE=2; `make test SLICE=commit` does both
	@SAMPLE=$(SAMPLE) SLICE=$(or $(SLICE),commit) npx tsx tools/test.ts

test-all: node_modules ## every test: all cases, all slices, an hour of soak, hosts that enforce SELinux (hours)
	@EVERYTHING=yes MINUTES=60 npx tsx tools/test.ts unit,lab,matrix,selinux

test-selinux: node_modules ## the tests on hosts that enforce SELinux, in QEMU (root, Linux, x86-64)
	@npx vitest run --project selinux

unit: node_modules ## the tests without hosts (Linux with OpenSSH's tools; some need root)
	@npx vitest run --project unit

soak: node_modules ## an hour of random faults on tunnels in use: MINUTES=60; SEED=7 repeats a run (root, Linux)
	@MINUTES=$(or $(MINUTES),60) SEED=$${SEED:-$$(od -An -N3 -tu4 /dev/urandom | tr -d " ")} npx vitest run --project lab test/lab/soak.test.ts --disable-console-intercept

durations: node_modules ## write tools/durations.json, which orders and slices the tests; FILES="crash ports": only these
	@DURATIONS=keep npx tsx tools/test.ts lab,matrix $(FILES)

lint: node_modules ## every linter (tools/lint.sh says which)
	@tools/lint.sh

bench: node_modules ## measure times and SSH connections; prints the table of docs/benchmarks.md
	@npx tsx bench/engine.ts

bench-backends: node_modules ## the same with the state in files, PostgreSQL and S3: ROUNDS=5
	@npx tsx bench/backends.ts --rounds $(or $(ROUNDS),5)

bench-fleet: node_modules ## the program with many hosts, compared with Ansible: HOSTS=1,10,30,100 STACKS=10; takes hours
	@npx tsx bench/fleet/main.ts

bench-recovery: node_modules ## recovery time after a fault, compared with autossh, frp, chisel, rathole; 45 minutes
	@npx tsx bench/recovery/main.ts

bench-throughput: node_modules ## MB/s, latency and memory, compared with the same tools and other ciphers; 15 minutes
	@npx tsx bench/throughput/main.ts

bench-idle: node_modules ## what an idle tunnel sends and receives, by preset, compared with plain ssh and autossh; 25 minutes
	@npx tsx bench/idle/main.ts

settings: node_modules ## write docs/settings.md and docs/settings.schema.json, for editors, from the schema
	@npx tsx tools/settingsReference.ts
	@npx tsx tools/editorSchema.ts

try-host: node_modules ## write dist/try-host.sh, which tests a fresh host without Pulumi (docs/try-host.md)
	@npx tsx tools/tryHost.ts dist/try-host.sh

clean: ## remove what the lab and the tests left, including the cached image and engine
	@npx tsx lab/cli.ts down || true
	@npx tsx lab/cli.ts clean
	@rm -rf node_modules dist "$${XDG_CACHE_HOME:-$$HOME/.cache}/ssh-reverse-tunnel/bench"

node_modules: package.json package-lock.json
	@echo "Installing the npm packages …"
	@npm ci --ignore-scripts --no-fund --no-audit --loglevel=error
	@npm run --silent build
	@touch node_modules
