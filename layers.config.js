// Which part of the project may import which; tools/lint.sh checks it.
// @ts-check

/** @type {(name: string, from: string, to: string, comment: string) => import("dependency-cruiser").IForbiddenRuleType} */
const never = (name, from, to, comment) => ({
  name,
  comment,
  severity: "error",
  from: { path: from },
  to: { path: to },
});

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    never(
      "program-stands-alone",
      "^(components/|index[.]ts)",
      "^(lab|tools|bench|test|examples|policies)/",
      "The program and its components run without the rest of the repository.",
    ),
    never("components-without-program", "^components/", "^index[.]ts", "Other programs import them, too."),
    never(
      "nothing-from-test",
      "^(lab|tools|bench)/",
      "^test/",
      "What tests share with a tool is in tools/, what they share with the lab is in lab/.",
    ),
    never("lab-at-the-bottom", "^lab/", "^(tools|bench)/", "Tools, tests and benchmarks may use the lab."),
    never("tools-without-bench", "^tools/", "^bench/", "Tools need no benchmarks."),
    {
      name: "settings-of-the-program",
      comment: "Components take arguments. Only the program and its tools read the settings of a stack.",
      severity: "error",
      from: { path: "^components/", pathNot: "^components/settings/(load|rules|tunnels)[.]ts" },
      to: { path: "^components/settings/(load|rules|schema)[.]ts" },
    },
    {
      name: "pure-renderers",
      comment: "A renderer makes text from values. It waits for nothing and registers nothing.",
      severity: "error",
      from: { path: "^components/render/" },
      to: { pathNot: "^components/(render/|settings/(forward|inputError|proxy)[.]ts)|^net$|/ipaddr[.]js/" },
    },
    never(
      "remote-below-parts",
      "^components/(remote|settings|render)/",
      "^components/(parts/|[^/]+[.]ts)",
      "How a script runs does not depend on what it does, or on which components have it.",
    ),
    never(
      "parts-below-components",
      "^components/parts/",
      "^components/(publicHost|internalHost|reverseTunnel|tunnelPlan)[.]ts",
      "A part is one thing on one host; the components put parts together.",
    ),
    {
      name: "one-place-for-commands",
      comment:
        "remote/remoteScript.ts alone makes commands on hosts; keptState.ts registers those that the state has, unchanged. Others may name their types.",
      severity: "error",
      from: { path: "^components/", pathNot: "^components/(remote/remoteScript|keptState)[.]ts" },
      to: { path: "node_modules/@pulumi/command/", dependencyTypesNot: ["type-only"] },
    },
    {
      name: "examples-as-users",
      comment: "An example imports what a user can: the package, and Pulumi.",
      severity: "error",
      from: { path: "^examples/" },
      to: { pathNot: "^(components/index[.]ts|dist/|ssh-reverse-tunnel$|node_modules/)" },
    },
    {
      name: "no-packages-for-development",
      comment: "CI installs nothing that is only for development.",
      severity: "error",
      from: { path: "^(components/|index[.]ts|tools/(ci/|drift|status|stackSettings))" },
      to: { dependencyTypes: ["npm-dev"], dependencyTypesNot: ["type-only"] },
    },
    {
      name: "no-circles",
      comment: "Modules that import each other cannot be understood one at a time.",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^dist/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { conditionNames: ["import", "node", "default"] },
  },
};
