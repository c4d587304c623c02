import { defineConfig } from "vitest/config";
import LongestFirst from "./tools/longestFirst.ts";

/** The tests that boot real hosts. Each file has its own labs, and mostly waits for its hosts. */
const onHosts = {
  globalSetup: "test/lab/support/prepare.ts",
  fileParallelism: true,
  maxWorkers: 3,
  sequence: { groupOrder: 1 },
  // For a machine that is busy with other work: a hanging test is ended later, and nothing else takes longer.
  testTimeout: 400_000,
  hookTimeout: 600_000,
};

// Four projects: `unit` boots no hosts; `lab` and `matrix` need root and boot real hosts, `lab` in each `make test`,
// `matrix` a slice at a time; `selinux` needs QEMU as well, for hosts that enforce SELinux.
export default defineConfig({
  test: {
    reporters: ["default", "./tools/countReporter.ts"],
    env: { PULUMI_ERROR_OUTPUT_STRING: "true", PULUMI_SKIP_UPDATE_CHECK: "true" },
    sequence: { sequencer: LongestFirst },
    // Often only the summary of a run is kept, so it must contain the differences.
    chaiConfig: { truncateThreshold: 1000 },
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/lab/**", "test/matrix/**", "test/selinux/**", "node_modules/**"],
          // Importing Pulumi takes longer than most files' tests.
          isolate: false,
          // Most of them run scripts and wait for them.
          maxWorkers: 2,
          // For a machine that is busy with other work, as below.
          testTimeout: 120_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 0 },
        },
      },
      { extends: true, test: { ...onHosts, name: "lab", include: ["test/lab/**/*.test.ts"] } },
      { extends: true, test: { ...onHosts, name: "matrix", include: ["test/matrix/**/*.test.ts"] } },
      {
        extends: true,
        test: {
          name: "selinux",
          globalSetup: "test/lab/support/prepare.ts",
          include: ["test/selinux/**/*.test.ts"],
          // Emulated processors use the whole CPU: nothing that is measured runs next to them.
          fileParallelism: false,
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
          testTimeout: 600_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
